"""The probe: runs inside the watched service, standard library only, Python 3.9 to 3.14.

It imports nothing of ours and nothing installed, never raises into the service and never runs
the service's own code while it captures.
"""
