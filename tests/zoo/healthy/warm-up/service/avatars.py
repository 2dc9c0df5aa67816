"""Avatars, drawn from a name."""

import hashlib
from functools import lru_cache

SIDE = 160


@lru_cache(maxsize=250)
def draw(name):
    """A picture of SIDE x SIDE pixels, three bytes each."""
    digest = hashlib.sha256(name.encode()).digest()
    return (digest * (SIDE * SIDE * 3 // len(digest) + 1))[: SIDE * SIDE * 3]


def application(environ, start_response):
    picture = draw(environ.get("PATH_INFO", "/").rsplit("/", 1)[-1])
    start_response("200 OK", [("Content-Length", str(len(picture)))])
    return [picture]
