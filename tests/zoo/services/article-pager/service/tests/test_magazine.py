import pytest

from magazine.app import app
from magazine.sections import Section


@pytest.fixture
def client():
    return app.test_client()


def test_an_article_knows_its_neighbours(client):
    body = client.get("/food/food-2").get_json()
    assert (body["previous"], body["next"]) == ("food-1", "food-3")


def test_the_first_has_none_before():
    assert Section("x", ["a", "b", "c"]).neighbours("a") == (None, "b")


def test_the_front_page_has_the_newest(client):
    assert client.get("/film/").get_json()["newest"] == ["film-8", "film-7", "film-6"]


def test_unknown_articles(client):
    assert client.get("/film/nothing").status_code == 404
    assert client.get("/sports/").status_code == 404
