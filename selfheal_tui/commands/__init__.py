"""One file for each command of `selfheal-tui`; the command line loads them when they are called."""
