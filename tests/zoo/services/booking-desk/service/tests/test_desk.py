import pytest

from desk import create_app
from desk.slots import Slot, parse_slot


@pytest.fixture
def client():
    return create_app().test_client()


def test_codes_name_room_and_time():
    assert parse_slot("R12-0930") == Slot(12, 9, 30)


def test_a_slot_can_be_booked_once(client):
    assert client.post("/slots/R3-1000/bookings", json={"who": "ada"}).status_code == 201
    assert client.post("/slots/R3-1000/bookings", json={"who": "bob"}).status_code == 409
    assert client.get("/slots/R3-1000").get_json()["holder"] == "ada"


@pytest.mark.parametrize(("code", "status"), [("R21-0900", 404), ("R2-0700", 422)])
def test_what_cannot_be(client, code, status):
    reply = client.get(f"/slots/{code}")
    assert reply.status_code == status
    assert reply.get_json()["problem"]


def test_somebody_must_book(client):
    assert client.post("/slots/R3-1100/bookings", json={}).status_code == 400
