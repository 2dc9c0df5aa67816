"""python main.py PORT"""

import asyncio
import logging
import sys

from flags.server import serve

if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(serve(int(sys.argv[1]) if len(sys.argv) > 1 else 8000))
