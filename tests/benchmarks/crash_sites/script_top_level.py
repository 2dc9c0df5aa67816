# run: {python} service.py
import json
import time

time.sleep(4.0)
config = json.loads('{"workers": {"count": 2}}')
count = config["workers"]["count"]
timeout = config["workers"]["timeout"]  # crash
print(count, timeout)
