"""A job made of a command line, and the places it needs, for `az batchai job run`."""

from __future__ import annotations

# pylint: disable=too-many-instance-attributes
import datetime
import os
import re
import secrets
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from knack.log import get_logger

from azext_batchai.storage.mounts import setup_output

logger = get_logger(__name__)

# What a cluster made for `job run` is; on this machine a VM size is a name.
VM_SIZE, MOST_NODES, LOCATION = "Standard_D1", 4, "eastus"
RESULTS = "RESULTS"  # the output directory of a command line
_PYTHON = re.compile(r"(.*/)?python[\d.]*")
_VARIABLE = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True)
class Request:
    """What is to run; `folder`: where its paths begin as a shell's word, None for the job's own folder.

    `results`: whether it has a folder $AZ_BATCHAI_OUTPUT_RESULTS.
    """

    words: Sequence[str]
    nodes: int | None = None
    processes: int | None = None
    toolkit: str | None = None
    image: str | None = None
    environment: Sequence[str] = ()
    secrets: Sequence[str] = ()
    folder: str | None = None
    results: bool = False


def new_name(stem: str = "run") -> str:
    return f"{stem}-{datetime.datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def properties(request: Request) -> dict[str, Any]:
    """The properties of the job, but for its cluster and output. Raises InvalidArgumentValueError."""
    nodes = request.nodes or 1
    toolkit = request.toolkit or _likely_toolkit(request, nodes)
    made: dict[str, Any] = {"nodeCount": nodes}
    if toolkit == "pytorch":
        made["pyTorchSettings"] = _script(request)
    elif toolkit == "custommpi":
        made["customMpiSettings"] = {"commandLine": _command_line(request)}
    elif toolkit == "custom":
        made["customToolkitSettings"] = {"commandLine": _command_line(request)}
    else:
        made[f"{toolkit}Settings"] = _script(request)
    if toolkit != "custom":
        [settings] = [value for key, value in made.items() if key != "nodeCount"]
        settings["processCount"] = request.processes or nodes
    if request.image:
        made["containerSettings"] = {"imageSourceRegistry": {"image": request.image}}
    if request.environment:
        made["environmentVariables"] = [_variable(text) for text in request.environment]
    if request.secrets:
        made["secrets"] = [secret_variable(text) for text in request.secrets]
    if request.results:
        # Where it lies is said with the cluster.
        made["outputDirectories"] = [{"id": RESULTS, "pathPrefix": ""}]
    return made


def _likely_toolkit(request: Request, nodes: int) -> str:
    if nodes == 1 and not request.processes:
        return "custom"
    return "pytorch" if _is_script(request.words) else "custommpi"


def _is_script(words: Sequence[str]) -> bool:
    return len(words) > 1 and bool(_PYTHON.fullmatch(words[0])) and not words[1].startswith("-")


def _command_line(request: Request) -> str:
    """One word is a line of the shell's, as ssh takes it; several are exactly these words."""
    line = request.words[0] if len(request.words) == 1 else shlex.join(request.words)
    return f"cd {request.folder} && {line}" if request.folder else line


def _script(request: Request) -> dict[str, Any]:
    if not _is_script(request.words):
        _refuse(
            f"'{shlex.join(request.words)}' is no Python script, which --toolkit {request.toolkit} runs.",
            "Give `python SCRIPT ARGUMENTS`, or --toolkit custommpi.",
        )
    python, script, *arguments = request.words
    if request.folder:
        python = f"env -C {request.folder} {shlex.quote(python)}"
    made = {"pythonInterpreterPath": python, "pythonScriptFilePath": shlex.quote(script)}
    return {**made, "commandLineArgs": shlex.join(arguments)} if arguments else made


def _variable(text: str) -> dict[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not _VARIABLE.fullmatch(name):
        _refuse(f"--env '{text}' is no variable.", "Write --env NAME=VALUE.")
    return {"name": name, "value": value}


def secret_variable(text: str) -> dict[str, str]:
    """A variable for the `secrets` of a job.

    `NAME` is taken from the environment of az, `NAME=-` is asked for: a value never stands on the command line.
    Raises InvalidArgumentValueError.
    """
    name, equals, value = text.partition("=")
    if not _VARIABLE.fullmatch(name) or (equals and value != "-"):
        _refuse(f"--secret {name} is not given as it should be.", "Write --secret NAME, or NAME=- to be asked for it.")
    if equals:
        if sys.stdin.isatty():
            import getpass

            return {"name": name, "value": getpass.getpass(f"{name}: ")}
        return {"name": name, "value": sys.stdin.readline().rstrip("\r\n")}
    if name not in os.environ:
        _refuse(f"--secret {name}: there is no variable {name}.", f"Set it, or write --secret {name}=- to be asked.")
    return {"name": name, "value": os.environ[name]}


@dataclass(frozen=True)
class Places:
    """Names of where a job runs: resource group, workspace, experiment, cluster (which may be an ARM ID)."""

    group: str
    workspace: str
    experiment: str
    cluster: str


def provide(client: Any, places: Places, is_local: bool, make_cluster: Callable[[], Any]) -> Any:
    """The cluster (SDK); what is missing is made on this machine, and said.

    Raises ResourceNotFoundError elsewhere, with the lines to type.
    """
    from azure.mgmt.batchai import models

    from azext_batchai.transport.arm import locate

    in_workspace = f"-g {places.group} -w {places.workspace}"
    group, workspace = places.group, places.workspace

    def made(get: Callable[[], Any], make: Callable[[], Any], line: str) -> Any:
        found = find(get)
        if found is not None:
            return found
        if not is_local:
            from azure.cli.core.azclierror import ResourceNotFoundError

            raise ResourceNotFoundError("What the job needs is not there.", recommendation=f"Make it with: {line}")
        logger.warning("%s", line)
        return make()

    made(
        lambda: client.workspaces.get(group, workspace),
        lambda: client.workspaces.begin_create(
            group, workspace, models.WorkspaceCreateParameters(location=LOCATION)
        ).result(),
        f"az batchai workspace create -g {group} -n {workspace} -l {LOCATION}",
    )
    cluster = made(
        lambda: client.clusters.get(*locate(places.cluster, group, workspace)),
        make_cluster,
        f"az batchai cluster create {in_workspace} -n {places.cluster} -s {VM_SIZE} --min 0 --max {MOST_NODES} "
        "--use-auto-storage",
    )
    made(
        lambda: client.experiments.get(group, workspace, places.experiment),
        lambda: client.experiments.begin_create(group, workspace, places.experiment).result(),
        f"az batchai experiment create {in_workspace} -n {places.experiment}",
    )
    return cluster


def output_of(cluster: Any) -> str:
    """Where the output of jobs goes on a cluster (SDK)."""
    return setup_output(cluster.node_setup.mount_volumes if cluster.node_setup else None)


def find(get: Callable[[], Any]) -> Any:
    """What `get` returns; None for a 404."""
    from azure.core.exceptions import HttpResponseError

    try:
        return get()
    except HttpResponseError as error:
        if error.status_code == 404:
            return None
        raise


def _refuse(message: str, recommendation: str) -> None:
    from azure.cli.core.azclierror import InvalidArgumentValueError

    raise InvalidArgumentValueError(message, recommendation=recommendation)
