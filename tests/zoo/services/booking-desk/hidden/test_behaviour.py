import pytest

from desk import create_app


@pytest.mark.parametrize("code", ["R1@9h", "nonsense", "R123-0900", "R1-0915"])
def test_a_wrong_code_is_refused_in_the_desks_own_words(code):
    client = create_app().test_client()
    for reply in (client.get(f"/slots/{code}"), client.post(f"/slots/{code}/bookings", json={"who": "x"})):
        assert 400 <= reply.status_code < 500
        assert isinstance(reply.get_json()["problem"], str)


def test_good_codes_still_work():
    client = create_app().test_client()
    assert client.get("/slots/R12-0930").get_json()["at"] == "09:30"
    assert client.get("/slots/R21-0900").status_code == 404
