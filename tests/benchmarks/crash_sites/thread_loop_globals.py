# run: {python} service.py
import threading
import time

readings = {}
alarms = []


def collect(step):
    readings[f"room{step}"] = {"celsius": 20 + step} if step < 3 else {}


def check():
    for room in sorted(readings):
        if readings[room]["celsius"] > 21:  # crash
            alarms.append(room)


def loop():
    for step in range(1000):
        collect(step)
        check()
        time.sleep(0.02)


threading.Thread(target=loop, name="thermostat").start()
time.sleep(60)
