"""Feeds as the web really writes them."""

import xml.etree.ElementTree as ElementTree
from email.utils import parsedate_to_datetime


class BadFeed(ValueError):
    """Not a feed; told to the client as 400."""


def text_of(element, name, default=""):
    """Text of a child, or the default where the child is missing or empty."""
    child = element.find(name)
    if child is None or child.text is None:
        return default
    return child.text.strip()


def entry_of(item):
    """One entry, dates as ISO 8601."""
    published = item.find("pubDate").text
    return {
        "title": text_of(item, "title", "(untitled)"),
        "link": text_of(item, "link"),
        "published": parsedate_to_datetime(published).isoformat(),
        "author": text_of(item, "author", None),
    }


def parse_feed(document):
    """The feed's title and entries. Raises BadFeed."""
    try:
        root = ElementTree.fromstring(document)
    except ElementTree.ParseError as why:
        raise BadFeed(f"not XML: {why}") from why
    channel = root.find("channel")
    if channel is None:
        raise BadFeed("no channel in it")
    entries = [entry_of(item) for item in channel.iter("item")]
    return {"title": text_of(channel, "title"), "entries": entries}
