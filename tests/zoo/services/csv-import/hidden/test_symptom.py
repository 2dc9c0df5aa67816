from importer import ImportRefused, import_prices


def test_latin_1_is_no_crash():
    try:
        import_prices("name;price\nGrütze;3.50\n".encode("latin-1"))
    except ImportRefused:
        return
