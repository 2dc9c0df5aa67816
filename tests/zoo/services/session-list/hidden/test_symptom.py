import sys
import threading

from login.sessions import Sessions


def test_counting_while_others_log_in():
    sessions = Sessions()
    for number in range(4000):
        sessions.start(f"u{number}", "de")
    stop, errors = threading.Event(), []

    def log_in():
        number = 0
        while not stop.is_set():
            sessions.start(f"new{number}", "fr")
            number += 1
            stop.wait(0.0002)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    thread = threading.Thread(target=log_in)
    thread.start()
    try:
        for _ in range(40):
            sessions.by_country()
    except RuntimeError as why:
        errors.append(why)
    finally:
        stop.set()
        thread.join()
        sys.setswitchinterval(before)
    assert errors == []
