from invoices.app import app


def test_the_text_has_every_row_its_currency_and_the_total():
    lines = app.test_client().get("/invoices/1.text").text.splitlines()
    assert len(lines) == 4
    assert lines[0].split() == ["Rent", "of", "a", "desk", "450.00", "EUR"]
    assert set(lines[2]) == {"-"}
    assert lines[3].split() == ["Total", "462.50", "EUR"]


def test_an_empty_invoice_has_a_total():
    assert "0.00 EUR" in app.test_client().get("/invoices/3.text").text
