from notes import app


def test_notes():
    client = app.test_client()
    assert client.post("/notes", json={"text": "x"}).status_code == 201
    assert client.get("/notes").get_json()[-1] == "x"
