# mypy: ignore-errors
# The way into a service: Python imports this at start because launch.py puts its folder first
# on PYTHONPATH. It parses on any Python, never raises, and hands on to the next sitecustomize.
import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))


def _start_probe():
    if sys.version_info < (3, 9) or not os.environ.get("SELFHEAL_RUN_DIR"):
        return
    room = os.path.dirname(os.path.dirname(_HERE))
    sys.path.insert(0, room)
    try:
        import selfheal_agent
    finally:
        sys.path.remove(room)
    from selfheal_agent import probe

    probe.install(os.environ)
    del selfheal_agent


def _run_next():
    # only the path entries after ours: the module that would have been found without us
    mine = sys.modules.pop("sitecustomize", None)
    kept = list(sys.path)
    sys.path[:] = [entry for entry in kept if os.path.abspath(entry or ".") != _HERE]
    try:
        __import__("sitecustomize")
    except ImportError as why:
        if getattr(why, "name", None) != "sitecustomize":
            raise
        if mine is not None:
            sys.modules["sitecustomize"] = mine
    finally:
        added = [entry for entry in sys.path if entry not in kept]
        sys.path[:] = added + [entry for entry in kept if os.path.abspath(entry or ".") != _HERE]


try:
    _start_probe()
except Exception as why:
    if os.environ.get("SELFHEAL_DEBUG"):
        sys.stderr.write("selfheal probe did not start: %r\n" % (why,))
_run_next()
