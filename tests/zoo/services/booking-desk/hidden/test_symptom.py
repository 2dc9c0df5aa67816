from desk import create_app


def test_codes_of_another_form_are_no_server_error():
    client = create_app().test_client()
    client.application.testing = False
    for code in ("R1@9h", "nonsense", "R1-9", "R1-0915"):
        assert client.get(f"/slots/{code}").status_code < 500
