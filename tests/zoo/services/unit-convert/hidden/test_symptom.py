from web import load_family


def test_the_family_can_be_loaded():
    load_family("temperature")
