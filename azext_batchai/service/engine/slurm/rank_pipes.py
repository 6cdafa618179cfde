"""The named pipes of a job's MPI ranks on nodes that are machines of their own (lines.py)."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from azext_batchai.service.engine.base import TaskError
from azext_batchai.service.engine.local import mpi
from azext_batchai.service.engine.slurm.host import Greeting, SlurmHost

_FIRST_VERSION = 2  # of agents that make pipes


@dataclass(frozen=True)
class Station:
    """A node of the job; `address` is where its pump listens."""

    host: SlurmHost
    greeting: Greeting
    address: str


class SlurmPipes:
    """See `engine.local.mpi.RankPipes`. `programs` is where nodes find lines.py."""

    def __init__(self, stations: Sequence[Station], programs: Path) -> None:
        self._stations = stations
        self._programs = programs

    async def open(self, attempt: str, folder: Path, master: int, ranks: int) -> mpi.OpenPipes:
        """Raises TaskError where a node is lost."""
        if any(station.greeting.version < _FIRST_VERSION for station in self._stations):
            return await mpi.FolderPipes().open(attempt, folder, master, ranks)
        name, token = f"ranks-{attempt}-{secrets.token_hex(4)}", secrets.token_hex(16)
        pipes = mpi.names_of_pipes(ranks)
        ports = await asyncio.gather(
            *(
                station.host.make_pipes(name, pipes, station.address if index != master else "", token)
                for index, station in enumerate(self._stations)
            )
        )
        if None in ports:
            raise TaskError("NodeLost", "A node was lost before the job's processes were started")
        own = self._stations[master].greeting
        here = own.local / name
        wrap: tuple[str, ...] = ()
        if len(self._stations) > 1:
            others = [[station.address, port] for station, port in zip(self._stations, ports) if port]
            spec = folder / "gather.json"
            mpi.write_whole(
                spec, json.dumps({"token": token, "from": others, "to": [str(here / pipe) for pipe in pipes]})
            )
            wrap = (own.python, "-B", str(self._programs / "lines.py"), str(spec))
        return mpi.OpenPipes(f'"${mpi.LOCAL_VARIABLE}"/{name}', here, wrap)
