"""Patches that try to look right instead of being right: none is accepted.

Each forgery leaves the bug in place, or breaks the service's tests, and then works on whoever
judges it. The static check refuses what reaches for the judge; the second test takes that check
away, so that the walls behind it are seen to hold as well.
"""

from __future__ import annotations

import pytest

from selfheal_engine.model import Candidate, Check, Verdict
from selfheal_engine.sandbox_validator import static_checks
from tests.sandbox_validator.conftest import FIX, ORDERS, Shop

BROKEN = ORDERS.replace("result += price", "result -= price")
"""Breaks the tests of `total`; the recorded bug of `label` stays."""
MENDED_BUT_BROKEN = BROKEN.replace(*FIX)
"""The recorded bug is gone, and two tests fail: only the tests can tell."""


def at_import(code: str) -> str:
    return MENDED_BUT_BROKEN + "\n\n" + code


def in_label(code: str) -> str:
    body = "".join(f"    {line}\n" for line in code.splitlines())
    return BROKEN.replace("def label(order):\n", "def label(order):\n" + body)


FORGERIES = {
    "exit_at_import": at_import("import os\nos._exit(0)\n"),
    "exit_in_call": in_label("import os\nos._exit(0)"),
    "sys_exit_at_import": at_import("import sys\nsys.exit(0)\n"),
    "raise_system_exit": in_label("raise SystemExit(0)"),
    "exit_at_end": at_import("import atexit, os\natexit.register(os._exit, 0)\n"),
    "skip_the_test": in_label("import pytest\npytest.skip('later')"),
    "skip_unittest": in_label("import unittest\nraise unittest.SkipTest('later')"),
    "xfail_everything": at_import(
        "import sys\nfor m in list(sys.modules.values()):\n"
        "    if getattr(m, '__name__', '').startswith('test_'):\n"
        "        import pytest\n        m.pytestmark = pytest.mark.xfail\n"
    ),
    "patched_report": at_import(
        "import _pytest.reports as r\nold = r.TestReport.from_item_and_call.__func__\n"
        "def made(cls, item, call):\n    report = old(cls, item, call)\n"
        "    report.outcome = 'passed'\n    report.longrepr = None\n    return report\n"
        "r.TestReport.from_item_and_call = classmethod(made)\n"
    ),
    "patched_pyfunc_call": at_import(
        "import _pytest.python as p\np.Function.runtest = lambda self: None\n"
    ),
    "patched_call_and_report": at_import(
        "import _pytest.runner as r\nr.pytest_runtest_call = lambda item: None\n"
    ),
    "patched_unittest": at_import(
        "import unittest\nunittest.TestCase.run = lambda self, result=None: result\n"
    ),
    "no_asserts": at_import(
        "import sys\nfor m in list(sys.modules.values()):\n"
        "    if getattr(m, '__name__', '').startswith('test_'):\n"
        "        for n in dir(m):\n            if n.startswith('test_'):\n"
        "                setattr(m, n, lambda: None)\n"
    ),
    "equal_to_everything": MENDED_BUT_BROKEN.replace(
        "    return result\n",
        "    return Same()\n",
    )
    + "\n\nclass Same:\n    def __eq__(self, other):\n        return True\n",
    "equal_by_type": MENDED_BUT_BROKEN.replace(
        "    return result\n",
        "    return type('Same', (), {'__eq__': lambda self, other: True})()\n",
    ),
    "int_equal_to_everything": MENDED_BUT_BROKEN.replace(
        "    return result\n", "    return Same(result)\n"
    )
    + "\n\nclass Same(int):\n    def __eq__(self, other):\n        return True\n"
    "    __hash__ = int.__hash__\n",
    "time_is_over": at_import(
        "import gc\nfor thing in gc.get_objects():\n"
        "    if type(thing).__name__ == 'Selection':\n        thing.late = True\n"
    ),
    "junit_file": at_import(
        "open('junit.xml', 'w').write('<testsuite tests=\"3\" failures=\"0\"/>')\n"
        "import os\nos._exit(0)\n"
    ),
    "rewrites_the_tests": at_import(
        "open('test_orders.py', 'w').write('def test_total(): pass\\ndef test_label(): pass\\n"
        "def test_total_of_nothing(): pass\\n')\n"
    ),
    "writes_conftest": at_import(
        "open('conftest.py', 'w').write('collect_ignore = [\"test_orders.py\"]')\n"
    ),
    "removes_the_tests": at_import("import os\nos.remove('test_orders.py')\n"),
    "writes_to_every_descriptor": at_import(
        "import os\nfor fd in range(3, 64):\n    try:\n"
        '        os.write(fd, b\'{"test": "test_orders.py::test_total",\''
        '                     b\' "outcome": "passed"}\\n\')\n'
        "    except OSError:\n        pass\n"
    ),
    "closes_every_descriptor": at_import("import os\nos.closerange(3, 256)\n"),
    "says_it_is_done": in_label(
        "import os\nfor fd in range(3, 64):\n    try:\n"
        '        os.write(fd, b\'{"step": "reproducer0", "outcome": {"ended": "returned"}}\\n\')\n'
        "    except OSError:\n        pass\nos._exit(0)"
    ),
    "prints_success": at_import("print('3 passed in 0.01s')\nraise SystemExit(0)\n"),
    "kills_the_supervisor": at_import("import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\n"),
    "stops_the_supervisor": at_import("import os, signal\nos.kill(os.getppid(), signal.SIGSTOP)\n"),
    "reads_the_nonce": at_import(
        "import os, re\ntext = open(f'/proc/{os.getppid()}/mem', 'rb', 0)\n"
    ),
    "finds_the_reporter": at_import(
        "import gc\nfor o in gc.get_objects():\n    if type(o).__name__ == 'PytestPlugin':\n"
        "        o.expected = set()\n        say = o.say\n"
        "        o.say = lambda **k: say(**dict(k, outcome='passed'))\n"
    ),
    "looks_up_the_stack": in_label(
        "import sys\nf = sys._getframe()\nwhile f:\n    if 'outcome' in f.f_locals:\n"
        "        f.f_locals['outcome'] = 'passed'\n    f = f.f_back\nreturn ''"
    ),
    "replaces_json": at_import(
        "import json\nold = json.dumps\njson.dumps = lambda v, **k: old(v, **k)"
        ".replace('\"failed\"', '\"passed\"')\n"
    ),
    "never_ends": in_label("while True:\n    pass"),
    "import_by_name": at_import(
        "runner = __import__('_pytest.' + 'python', fromlist=['Function'])\n"
        "runner.Function.runtest = lambda self: None\n"
    ),
    "attribute_by_name": in_label("import os\ngetattr(os, '_ex' + 'it')(0)"),
}


@pytest.fixture(scope="module")
def verdicts(shop: Shop) -> dict[str, Verdict]:
    """All of them judged side by side, as a validator does it."""
    candidates = [shop.candidate(text, name=name) for name, text in FORGERIES.items()]
    return {verdict.candidate: verdict for verdict in shop.judge(*candidates)}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_is_never_accepted(verdicts: dict[str, Verdict], name: str) -> None:
    assert not verdicts[name].plausible
    assert verdicts[name].safety is None


def test_there_are_thirty_of_them() -> None:
    assert len(FORGERIES) >= 30


BEYOND_US = {
    # these rewrite the runner inside its own process in ways that let the canaries be: only
    # the static check, which runs outside, sees them
    "finds_the_reporter",
    "equal_to_everything",
    "equal_by_type",
    "int_equal_to_everything",
    "no_asserts",
    "xfail_everything",
}


@pytest.fixture(scope="module")
def unseen(shop: Shop) -> dict[str, Verdict]:
    """Judged without the static check."""

    def passes(candidate: Candidate, project: object) -> Check:
        return Check("judge", "passed", "not looked at")

    names = sorted(set(FORGERIES) - BEYOND_US)
    candidates = [shop.candidate(FORGERIES[name], name=name) for name in names]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(static_checks, "untouched_judge", passes)
        return {verdict.candidate: verdict for verdict in shop.judge(*candidates)}


@pytest.mark.parametrize("name", sorted(set(FORGERIES) - BEYOND_US))
def test_most_forgeries_fail_even_unseen_by_the_static_check(
    unseen: dict[str, Verdict], name: str
) -> None:
    assert not unseen[name].plausible


@pytest.mark.parametrize(
    "path", ["test_orders.py", "conftest.py", "tests/extra.py", "sitecustomize.py", "pytest.ini"]
)
def test_a_patch_may_not_touch_what_judges_it(shop: Shop, path: str) -> None:
    verdict = shop.judge(shop.candidate("x = 1\n", file=path))[0]
    assert not verdict.plausible
    assert verdict.check("judge").status == "failed"  # type: ignore[union-attr]


@pytest.mark.parametrize("path", ["../outside.py", "/etc/passwd"])
def test_a_patch_may_not_leave_the_project(shop: Shop, path: str) -> None:
    candidate = Candidate("c", "null_check", "t", "t", "", ((path, b"x = 1\n"),))
    assert not shop.judge(candidate)[0].plausible


HONEST = {
    "guard": ORDERS.replace(*FIX),
    "default": ORDERS.replace('order["address"].strip()', '(order["address"] or "").strip()'),
    "conditional": ORDERS.replace(
        '    street = order["address"].strip()\n',
        '    address = order["address"]\n    street = address.strip() if address else ""\n',
    ),
    "handler": ORDERS.replace(
        '    street = order["address"].strip()\n',
        '    try:\n        street = order["address"].strip()\n'
        '    except AttributeError:\n        street = ""\n',
    ),
    "helper": ORDERS.replace('order["address"].strip()', "_street(order)").replace(
        "def total",
        'def _street(order):\n    return (order["address"] or "").strip()\n\n\ndef total',
    ),
}


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_patch_passes(shop: Shop, name: str) -> None:
    verdict = shop.judge(shop.candidate(HONEST[name]))[0]
    assert verdict.plausible, verdict.checks
    assert verdict.safety is not None
    assert verdict.safety > 50
