# run: {python} service.py
# needs: apscheduler
import time
from enum import Enum

from apscheduler.schedulers.background import BackgroundScheduler


class Level(Enum):
    LOW = 1
    HIGH = 2


class Digest:
    def __init__(self, weights):
        self.weights = weights

    def build(self, entries):
        return sorted(entries, key=lambda entry: self.weights[entry["level"]])  # crash


digest = Digest({Level.LOW: 1})
scheduler = BackgroundScheduler()
scheduler.add_job(digest.build, args=[[{"level": Level.LOW}, {"level": Level.HIGH}]])
scheduler.start()
time.sleep(60)
