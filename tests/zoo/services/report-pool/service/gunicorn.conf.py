import os

bind = f"127.0.0.1:{os.environ.get('REPORTS_PORT', '8000')}"
workers = 1
threads = 6
control_socket_disable = True
