"""Data-parallel training as a tutorial of PyTorch has it; without PyTorch the ranks add up a number over a socket."""

import os
import socket
import time

rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


def with_torch() -> float:
    import torch
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel

    dist.init_process_group("gloo")
    model = DistributedDataParallel(torch.nn.Linear(1, 1))
    (model(torch.ones(4, 1) * (rank + 1)) ** 2).mean().backward()
    total = torch.tensor([float(rank)])
    dist.all_reduce(total)
    dist.destroy_process_group()
    return total.item()


def without_torch() -> float:
    place = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
    if rank > 0:
        while True:
            try:
                with socket.create_connection(place) as first:
                    first.sendall(b"%d\n" % rank)
                    return float(first.makefile().readline())
            except OSError:  # the first rank is not there yet
                time.sleep(0.05)
    with socket.create_server(place) as listener:
        others = [listener.accept()[0] for _ in range(size - 1)]
        total = float(sum(int(other.makefile().readline()) for other in others))
        for other in others:
            other.sendall(b"%g\n" % total)
            other.close()
    return total


try:
    total = with_torch()
except ImportError:
    total = without_torch()
os.write(1, f"rank {rank} of {size}: {total:g}\n".encode())  # in one piece
