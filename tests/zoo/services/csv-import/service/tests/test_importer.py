import pytest

from importer import ImportRefused, import_prices, prices


@pytest.fixture(autouse=True)
def no_prices():
    prices.clear()


def test_a_list_is_taken():
    assert import_prices("name;price\nKäse;4.20\nBrot;2\n".encode()) == 2
    assert prices == {"Käse": "4.20", "Brot": "2"}


@pytest.mark.parametrize(
    ("text", "line"), [("a;b\n", 1), ("", 1), ("name;price\nx;1\ny\n", 3), ("name;price\nx;dear\n", 2)]
)
def test_a_wrong_list_changes_nothing(text, line):
    with pytest.raises(ImportRefused) as refused:
        import_prices(text.encode())
    assert refused.value.line == line
    assert prices == {}
