"""Whether the programs that a job needs are on this machine, whose processes its nodes are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from azext_batchai.jobs import plan
from azext_batchai.local import doctor, machine_checks

_OF_NODES = "/mnt/batch/"  # paths below are a node's own
_ON_HOST = ("1", "true", "yes", "on")
_SECONDS = 5.0  # how long a container runtime has to answer


def container(settings: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """What is missing for `containerSettings`, and what is worth knowing, by the environment of az.

    That is also the environment of a service that az starts.
    """
    image = _full_name(settings.get("imageSourceRegistry") or {})
    if on_host():
        return [], [f"Image {image} is not used: AZURE_BATCHAI_CONTAINERS_ON_HOST runs the job on the node itself"]
    if machine_checks.has_image(image, _SECONDS):
        return [], []
    runtime = machine_checks.containers(None, _SECONDS)
    if runtime.status != doctor.OK:
        return [f"'containerSettings' needs a container runtime: {runtime.found}. {runtime.advice}"], []
    return [], [f"Image {image} is not on this machine: it is pulled when the job starts"]


def on_host() -> bool:
    """Whether jobs with `containerSettings` run on the node itself."""
    return os.environ.get("AZURE_BATCHAI_CONTAINERS_ON_HOST", "").strip().lower() in _ON_HOST


def missing(toolkit: str, key: str, settings: Mapping[str, Any], nodes: int) -> list[str]:
    """What a job that runs on the node itself needs and this machine has not; `key`: that of the toolkit's settings."""
    found = []
    if plan.by_mpi(toolkit, settings, nodes):
        mpirun = machine_checks.mpirun(None)
        if mpirun.status != doctor.OK:
            found.append(f"'{key}' needs the mpirun of Open MPI: {mpirun.found}. {mpirun.advice}")
    python = str(settings.get("pythonInterpreterPath") or "")
    is_plain = python.startswith("/") and not any(letter.isspace() or letter in "$`'\"" for letter in python)
    if is_plain and not python.startswith(_OF_NODES) and not (Path(python).is_file() and os.access(python, os.X_OK)):
        found.append(f"'{key}.pythonInterpreterPath' is {python}, which is no program of this machine")
    return found


def _full_name(registry: Mapping[str, Any]) -> str:
    """The image as the runtime knows it, with its registry where one is said."""
    image = str(registry.get("image") or "")
    host = str(registry.get("serverUrl") or "").rpartition("://")[2].rstrip("/")
    return image if not host or image.startswith(f"{host}/") else f"{host}/{image}"
