import pytest

from reader.rss import BadFeed, parse_feed
from reader.server import answer

FEED = b"""<rss><channel><title> News </title>
<item><title>One</title><link>http://x/1</link><pubDate>Mon, 02 Mar 2026 10:00:00 GMT</pubDate></item>
<item><link>http://x/2</link><pubDate>Tue, 03 Mar 2026 11:30:00 GMT</pubDate><author>kim</author></item>
</channel></rss>"""


def test_entries_have_iso_dates():
    feed = parse_feed(FEED)
    assert feed["title"] == "News"
    assert [e["published"][:16] for e in feed["entries"]] == ["2026-03-02T10:00", "2026-03-03T11:30"]


def test_missing_children_have_defaults():
    second = parse_feed(FEED)["entries"][1]
    assert second["title"] == "(untitled)"
    assert second["author"] == "kim"


def test_what_is_no_feed_is_refused():
    with pytest.raises(BadFeed):
        parse_feed(b"{}")
    assert answer("POST", "/feeds", b"<html/>")[0] == 400
    assert answer("GET", "/feeds", b"")[0] == 404
