"""One log format for everything the shop says."""

import logging
import os

FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


def configure():
    level = os.environ.get("SHOP_LOG_LEVEL", "WARNING")
    logging.basicConfig(level=level, format=FORMAT)
