# run: {python} service.py
import queue
import sqlite3
import threading
import time


class Mailer(threading.Thread):
    def __init__(self):
        super().__init__(daemon=True)
        self.jobs = queue.Queue()
        self.sent = sqlite3.connect(":memory:", check_same_thread=False)
        self.sent.execute("create table sent (address text)")

    def run(self):
        while True:
            job = self.jobs.get()
            self.send(job)
            self.jobs.task_done()

    def send(self, job):
        domain = job["to"].split("@")[1]  # crash
        self.sent.execute("insert into sent values (?)", (domain,))


mailer = Mailer()
mailer.start()
mailer.jobs.put({"to": "ada@example.org"})
mailer.jobs.put({"to": "nobody"})
time.sleep(60)
