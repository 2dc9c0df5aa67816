import os

bind = f"127.0.0.1:{os.environ.get('LABELS_PORT', '8000')}"
workers = 1
threads = 16
control_socket_disable = True
