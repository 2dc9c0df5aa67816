import os

bind = f"127.0.0.1:{os.environ.get('SHOP_PORT', '8000')}"
workers = 2
worker_class = "gthread"
threads = 8
keepalive = 15
graceful_timeout = 5
accesslog = None
errorlog = "-"
control_socket_disable = True
