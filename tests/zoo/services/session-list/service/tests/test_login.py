from login.app import app
from login.sessions import Sessions


def test_log_in_and_out():
    client = app.test_client()
    token = client.post("/sessions", json={"user": "ada", "country": "de"}).get_json()["token"]
    assert client.delete(f"/sessions/{token}").status_code == 204
    assert client.delete(f"/sessions/{token}").status_code == 404


def test_users_are_counted_once():
    sessions = Sessions()
    for user, country in [("ada", "de"), ("ada", "de"), ("bob", "fr")]:
        sessions.start(user, country)
    assert sessions.by_country() == {"de": 1, "fr": 1}


def test_a_session_has_its_user():
    sessions = Sessions()
    assert sessions.user(sessions.start("ada", "de")) == "ada"
    assert sessions.user("nonsense") is None
