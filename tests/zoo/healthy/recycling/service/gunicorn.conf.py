import os

bind = f"127.0.0.1:{os.environ.get('NOTES_PORT', '8000')}"
workers = 2
threads = 4
max_requests = 120
max_requests_jitter = 30
control_socket_disable = True
