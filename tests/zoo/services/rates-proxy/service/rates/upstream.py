"""The upstream's rates."""

import json
import logging
import os
import urllib.request

from rates.errors import UnknownPair, UpstreamUnavailable

log = logging.getLogger(__name__)
PAIRS = {"EUR-USD", "EUR-GBP", "USD-JPY"}
TIMEOUT_S = 2


def base_url():
    return os.environ.get("RATES_UPSTREAM", "http://127.0.0.1:9000")


def fetch_rate(pair):
    """The current rate of a pair. Raises RatesError."""
    if pair not in PAIRS:
        raise UnknownPair(f"no rate for {pair}")
    with urllib.request.urlopen(f"{base_url()}/{pair}", timeout=TIMEOUT_S) as reply:
        body = json.load(reply)
    if "rate" not in body:
        log.warning("no rate in the upstream's answer for %s", pair)
        raise UpstreamUnavailable("no rate at the moment, try again")
    return float(body["rate"])
