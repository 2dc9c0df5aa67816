import os
import threading

from farm import Farm

PATIENCE_S = float(os.environ.get("ZOO_PATIENCE_S", "40"))


def test_a_cancelled_job_keeps_nobody_waiting():
    farm = Farm(workers=1)

    def ask():
        try:
            farm.render("huge", 900)
        except Exception:
            return

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
