from gate import app


def test_the_gate():
    client = app.test_client()
    assert client.post("/login", json={"user": "ada", "code": "1815"}).status_code == 200
    assert client.post("/login", json={"user": "ada", "code": "x"}).status_code == 401
    assert client.post("/login", json={"user": "eve", "code": "1"}).status_code == 401
    assert client.get("/wp-admin/").status_code == 404
