"""The place of a TensorFlow process, from TF_CONFIG. A parameter server serves until the workers have ended."""

import json
import os
import time

config = json.loads(os.environ.get("TF_CONFIG", '{"task": {"type": "master", "index": 0}, "cluster": {}}'))
task = config["task"]
workers = len(config["cluster"].get("worker", [0]))
os.write(1, f"{task['type']} {task['index']} of {workers} workers\n".encode())
time.sleep(1)  # a worker would train now
while task["type"] == "ps":
    time.sleep(1)
