"""The WSGI application."""

from pathlib import Path

from tiles.files import NoTile, read_tile


def make_tiles(root, columns=4, rows=8):
    """Tiles for an empty data folder."""
    root.mkdir(parents=True, exist_ok=True)
    for x in range(columns):
        for y in range(rows):
            (root / f"{x}-{y}.tile").write_bytes(f"tile {x} {y}\n".encode() * 40)


class TileApp:
    def __init__(self, root):
        self.root = Path(root)
        if not self.root.is_dir():
            make_tiles(self.root)

    def __call__(self, environ, start_response):
        parts = environ.get("PATH_INFO", "").strip("/").split("/")
        if len(parts) != 3 or parts[0] != "tiles" or not (parts[1] + parts[2]).isdigit():
            start_response("400 Bad Request", [("Content-Length", "0")])
            return [b""]
        try:
            etag, content = read_tile(
                self.root, parts[1], parts[2], environ.get("HTTP_IF_NONE_MATCH")
            )
        except NoTile:
            start_response("404 Not Found", [("Content-Length", "0")])
            return [b""]
        if content is None:
            start_response("304 Not Modified", [("ETag", etag)])
            return [b""]
        start_response("200 OK", [("ETag", etag), ("Content-Length", str(len(content)))])
        return [content]
