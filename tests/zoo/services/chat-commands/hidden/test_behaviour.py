import pytest

from bot import answer_to


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("!remind 20m tea", "in 1200 s: tea"),
        ("!remind 2h the train", "in 7200 s: the train"),
        ("!remind 99h x", "that is too long"),
        ("!remind tea", "usage: !remind 20m what"),
        ("!remind soon tea", "usage: !remind 20m what"),
        ("!remind 5d tea", "usage: !remind 20m what"),
    ],
)
def test_reminders(text, answer):
    assert answer_to(text) == answer
