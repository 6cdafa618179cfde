import os
import sys

with open(os.path.join(sys.argv[1], "data.csv")) as data:
    print("sum", sum(int(value) for value in data.read().split(",")), flush=True)
with open(os.path.join(os.environ["AZ_BATCHAI_OUTPUT_MODEL"], "model.txt"), "w") as model:
    model.write("trained")
