import os

bind = f"127.0.0.1:{os.environ.get('LOGIN_PORT', '8000')}"
workers = 1
threads = 8
control_socket_disable = True
