"""What a rank of the MPI job does."""

import argparse
import os
import pathlib

parser = argparse.ArgumentParser()
parser.add_argument("--data", type=pathlib.Path)
options = parser.parse_args()
total = sum(int(path.read_text()) for path in options.data.iterdir())
assert os.environ["TOKEN"] == "t0ken"
rank, size = os.environ["OMPI_COMM_WORLD_RANK"], os.environ["OMPI_COMM_WORLD_SIZE"]
print(f"rank {rank} of {size}: {total} in {os.environ['EPOCHS']} epochs")
if rank == "0":
    (pathlib.Path(os.environ["AZ_BATCHAI_OUTPUT_MODEL"]) / "model.txt").write_text(f"model {total}\n")
