"""What crosses a process or a file comes back equal."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfheal_engine.codec import from_plain, to_plain
from selfheal_engine.model import (
    Candidate,
    Frame,
    Incident,
    IncidentState,
    Occurrence,
    RequestRecord,
    Value,
)

texts = st.text(max_size=20)
values = st.recursive(
    st.builds(Value, type_name=texts, text=texts, length=st.none() | st.integers(0, 9)),
    lambda children: st.builds(
        Value,
        type_name=texts,
        children=st.lists(st.tuples(texts, children), max_size=3).map(tuple),
        truncated=st.booleans(),
    ),
    max_leaves=6,
)
frames = st.builds(
    Frame,
    file=texts,
    line=st.integers(0, 10_000),
    function=texts,
    column=st.none() | st.integers(0, 200),
    locals=st.lists(st.tuples(texts, values), max_size=3).map(tuple),
)
requests = st.builds(RequestRecord, method=texts, path=texts, body=st.binary(max_size=30))
occurrences = st.builds(
    Occurrence,
    id=texts,
    kind=st.sampled_from(["exception", "leak"]),
    time_s=st.floats(0, 2e9),
    pid=st.integers(0, 2**22),
    exception=texts,
    message=texts,
    frames=st.lists(frames, max_size=3).map(tuple),
    request=st.none() | requests,
)


def over_the_wire(value: object) -> object:
    return from_plain(type(value), json.loads(json.dumps(to_plain(value))))


@given(occurrences)
def test_an_occurrence_survives_json(occurrence: Occurrence) -> None:
    assert over_the_wire(occurrence) == occurrence


@given(occurrences, st.sampled_from(list(IncidentState)))
def test_an_incident_survives_json_with_its_state(
    occurrence: Occurrence, state: IncidentState
) -> None:
    incident = Incident("i", 1, state, "title", 1.0, 2.0, occurrence=occurrence)
    assert over_the_wire(incident) == incident


@given(st.lists(st.tuples(texts, st.binary(max_size=50)), max_size=3).map(tuple))
def test_a_candidates_files_keep_their_bytes(files: tuple[tuple[str, bytes], ...]) -> None:
    candidate = Candidate("c", "null_check", "guard", "t", "diff", files)
    assert over_the_wire(candidate) == candidate


def test_fields_of_a_newer_version_are_ignored_and_missing_ones_take_their_default() -> None:
    plain = {"file": "a.py", "line": 3, "function": "f", "of_tomorrow": 1}
    assert from_plain(Frame, plain) == Frame("a.py", 3, "f")


def test_what_is_not_part_of_the_model_is_refused() -> None:
    with pytest.raises(TypeError, match="not part of the model"):
        to_plain(object())
