from admin.app import app
from admin.trail import Trail


def test_the_newest_comes_first():
    trail = Trail()
    for number in range(5):
        trail.record("ada", f"k{number}", "body")
    assert [action["what"] for action in trail.latest(2)] == ["k4", "k3"]


def test_changes_are_in_the_trail():
    client = app.test_client()
    client.put("/settings", json={"key": "limit", "value": 3}, headers={"X-User": "bob"})
    assert client.get("/trail?count=1").get_json()[0]["who"] == "bob"
    assert client.get("/settings").get_json()["limit"] == 1
