"""Scripts that run behind the wall: standard library only, Python 3.9 and later.

Nothing here imports the engine; `kernel.py` is also used by the launcher, outside.
"""
