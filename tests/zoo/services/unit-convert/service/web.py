"""The WSGI application: GET /<family>?from=&to=&value="""

import importlib
import importlib.util
import json
from urllib.parse import parse_qsl


class NoSuchUnit(Exception):
    """The client asked for what we do not convert."""


def load_family(name):
    if not name.isidentifier() or importlib.util.find_spec(f"units.{name}") is None:
        raise NoSuchUnit(f"no family {name}")
    return importlib.import_module(f"units.{name}").UNITS


def convert(family, source, target, value):
    units = load_family(family)
    if source not in units or target not in units:
        raise NoSuchUnit(f"no such unit in {family}")
    return units[target].from_base(units[source].to_base(value))


def application(environ, start_response):
    query = dict(parse_qsl(environ.get("QUERY_STRING", "")))
    try:
        result = convert(
            environ["PATH_INFO"].strip("/"), query["from"], query["to"], float(query["value"])
        )
        status, body = "200 OK", {"result": round(result, 4)}
    except NoSuchUnit as why:
        status, body = "404 Not Found", {"error": str(why)}
    payload = json.dumps(body).encode()
    start_response(status, [("Content-Length", str(len(payload)))])
    return [payload]
