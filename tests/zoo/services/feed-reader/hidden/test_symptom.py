from reader.server import answer

ITEM = b"<rss><channel><item><title>One</title></item></channel></rss>"


def test_an_undated_entry_is_no_server_error():
    assert answer("POST", "/feeds", ITEM)[0] < 500
