# run: {python} service.py
import io
import threading
import time

LOG = "10:01 GET /a 200\n10:02 GET /b\n10:03 GET /c 500\n"


def parsed(stream):
    for line in stream:
        at, method, path, status = line.split()  # crash
        yield at, path, int(status)


def failures(stream):
    return [entry for entry in parsed(stream) if entry[2] >= 500]


threading.Thread(target=failures, args=(io.StringIO(LOG),)).start()
time.sleep(60)
