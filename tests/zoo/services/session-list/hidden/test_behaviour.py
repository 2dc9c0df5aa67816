import threading
import time

from login.sessions import Sessions


def test_the_count_is_whole():
    sessions = Sessions()
    for number in range(300):
        sessions.start(f"u{number % 150}", "de" if number % 2 else "fr")
    assert sum(sessions.by_country().values()) == 150


def test_a_session_can_still_start_and_end_afterwards():
    sessions = Sessions()
    token = sessions.start("ada", "de")
    sessions.by_country()
    done = []

    def use():
        done.append(sessions.end(token))
        sessions.start("bob", "fr")
        done.append(sessions.by_country() == {"fr": 1})

    thread = threading.Thread(target=use, daemon=True)
    thread.start()
    thread.join(5)
    assert done == [True, True]
    assert time.time() > 0
