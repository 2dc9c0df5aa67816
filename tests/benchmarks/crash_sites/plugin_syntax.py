# run: {python} service.py
import importlib
import logging
import pathlib
import time

PLUGIN = pathlib.Path(__file__).with_name("plugin.py")
PLUGIN.write_text("def hook(value)\n    return value\n")
try:
    importlib.import_module("plugin")
except SyntaxError:
    logging.exception("plugin left out")
time.sleep(60)
