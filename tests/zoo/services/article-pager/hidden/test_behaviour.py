import pytest

from magazine.app import app
from magazine.sections import Section


@pytest.mark.parametrize(
    ("slugs", "slug", "neighbours"),
    [
        ("abc", "c", ("b", None)),
        ("abc", "b", ("a", "c")),
        ("abc", "a", (None, "b")),
        ("ab", "b", ("a", None)),
        ("ab", "a", (None, "b")),
        ("a", "a", (None, None)),
    ],
)
def test_neighbours(slugs, slug, neighbours):
    assert Section("x", slugs).neighbours(slug) == neighbours


def test_the_last_one_is_shown():
    reply = app.test_client().get("/travel/travel-6")
    assert reply.status_code == 200
    assert reply.get_json() == {"slug": "travel-6", "previous": "travel-5", "next": None}
