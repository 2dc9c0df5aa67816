"""Look-ups that answer with None because the table has the key in another form."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfheal_engine.diagnosis import diagnose
from selfheal_engine.patch_generator.rules import Example
from tests.patch_generator.playing import occurrence_of, project_of

TABLE = """
    TABLE = {table}


    def asked(key):
        return TABLE.get(key)


    def f(wanted={wanted}):
        return asked(wanted) * 3
    """


@pytest.mark.parametrize(
    ("table", "wanted", "bug_type"),
    [
        ("{1: 250, 2: 1999}", "'2'", "logic_correction"),
        ("{'1': 250, '2': 1999}", "2", "logic_correction"),
        ("{'at': 20}", "'AT'", "logic_correction"),
        ("{1: 250, 2: 1999}", "'7'", "null_check"),
        ("{1: 250, 2: 1999}", "7", "null_check"),
        ("dict(at=20)", "'AT'", "null_check"),
    ],
)
def test_a_key_of_another_form_is_no_missing_value(
    table: str, wanted: str, bug_type: str, tmp_path: Path
) -> None:
    example = Example(TABLE.format(table=table, wanted=wanted))
    found = diagnose(occurrence_of(example, tmp_path), project_of(example, tmp_path))
    assert found.bug_type == bug_type
