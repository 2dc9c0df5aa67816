import os
import socket
import threading

from labels.partner import Partner

PATIENCE_S = float(os.environ.get("ZOO_PATIENCE_S", "40"))


def test_a_silent_partner_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        def ask():
            try:
                Partner(f"127.0.0.1:{silent.getsockname()[1]}").look_up(20095)
            except Exception:
                return

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
