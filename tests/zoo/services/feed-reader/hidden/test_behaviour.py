from reader.rss import parse_feed

FEED = b"""<rss><channel><title>News</title>
<item><title>One</title><link>http://x/1</link></item>
<item><title>Two</title><pubDate>Tue, 03 Mar 2026 11:30:00 GMT</pubDate></item>
</channel></rss>"""


def test_the_undated_entry_is_there_and_so_is_the_rest():
    entries = parse_feed(FEED)["entries"]
    assert [entry["title"] for entry in entries] == ["One", "Two"]
    assert not entries[0]["published"]
    assert entries[1]["published"].startswith("2026-03-03T11:30")
    assert entries[0]["link"] == "http://x/1"
