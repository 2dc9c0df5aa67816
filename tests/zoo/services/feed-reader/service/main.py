"""python main.py --port N"""

import argparse
import asyncio
import logging

from reader.server import serve

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8000)
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(serve(parser.parse_args().port))
