import os

bind = f"127.0.0.1:{os.environ.get('GATE_PORT', '8000')}"
workers = 2
threads = 4
control_socket_disable = True
