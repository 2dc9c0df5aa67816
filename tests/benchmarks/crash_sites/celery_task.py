# run: {python} service.py
# needs: celery
import threading
import time

from celery import Celery

app = Celery("service", broker="memory://", backend="cache+memory://")


@app.task(name="thumbnail", bind=True)
def thumbnail(self, size, *, crop=None):
    return scaled(size, crop)


def scaled(size, crop):
    width, height = size
    return width / height, crop["left"]  # crash


def feed():
    time.sleep(2)
    thumbnail.delay([640, 480])


if __name__ == "__main__":
    threading.Thread(target=feed, daemon=True).start()
    app.worker_main(["worker", "-P", "solo", "--without-gossip", "--without-mingle"])
