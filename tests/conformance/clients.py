"""The clients of the conformance suite behind one interface: resources as on the wire, errors by code."""

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.az import Outcome

HERE = Path(__file__).parent


class ClientError(Exception):
    """What a client said of a refusal."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Unsupported(Exception):
    """The client has no such call, or one that its own faults keep from being sent."""


class Peer:
    """A process that answers a JSON line with a JSON line."""

    def __init__(self, command: list[str], log: Path, env: dict[str, str] | None = None) -> None:
        self._log = log
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True
            )

    def ask(self, question: Any) -> Any:
        assert self._process.stdin and self._process.stdout
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the client died:\n{self._log.read_text(encoding='utf-8')}"
        return json.loads(line)

    def close(self) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


class SdkClient:
    """A release of azure-mgmt-batchai in an environment of its own."""

    def __init__(self, peer: Peer, missing: tuple[str, ...] = ()) -> None:
        self._peer = peer
        self._missing = missing

    def call(self, method: str, *args: Any) -> Any:
        if method in self._missing:
            raise Unsupported(method)
        answer = self._peer.ask([method, args])
        if "error" in answer:
            raise ClientError(answer["error"]["code"], answer["error"]["message"])
        return normal(answer["value"])


_GROUP = ("-g", "{0}")
_CHILD = (*_GROUP, "-w", "{1}")
_NAMED = (*_CHILD, "-n", "{2}")
_IN_EXPERIMENT = (*_CHILD, "-e", "{2}")
_JOB = (*_IN_EXPERIMENT, "-n", "{3}")
_OF_JOB = (*_IN_EXPERIMENT, "-j", "{3}")
# The command line of each call; {0}, {1}, ... are its arguments, {file} is a file with the body that comes last.
_COMMANDS: dict[str, tuple[str, ...]] = {
    "create_workspace": ("workspace", "create", *_GROUP, "-n", "{1}", "-l", "{2}"),
    "get_workspace": ("workspace", "show", *_GROUP, "-n", "{1}"),
    "list_workspaces": ("workspace", "list", *_GROUP),
    "delete_workspace": ("workspace", "delete", *_GROUP, "-n", "{1}", "--yes"),
    "create_cluster": ("cluster", "create", *_NAMED, "-f", "{file}"),
    "get_cluster": ("cluster", "show", *_NAMED),
    "list_clusters": ("cluster", "list", *_CHILD),
    "resize_cluster": ("cluster", "resize", *_NAMED, "-t", "{3}"),
    "list_nodes": ("cluster", "node", "list", *_CHILD, "-c", "{2}"),
    "delete_cluster": ("cluster", "delete", *_NAMED, "--yes"),
    "create_experiment": ("experiment", "create", *_NAMED),
    "get_experiment": ("experiment", "show", *_NAMED),
    "list_experiments": ("experiment", "list", *_CHILD),
    "delete_experiment": ("experiment", "delete", *_NAMED, "--yes"),
    "create_job": ("job", "create", *_JOB, "-c", "{cluster}", "-f", "{file}"),
    "get_job": ("job", "show", *_JOB),
    "list_jobs": ("job", "list", *_IN_EXPERIMENT),
    "list_job_nodes": ("job", "node", "list", *_OF_JOB),
    "list_files": ("job", "file", "list", *_OF_JOB, "-d", "{4}"),
    "terminate_job": ("job", "terminate", *_JOB, "--yes"),
    "delete_job": ("job", "delete", *_JOB, "--yes"),
    "create_file_server": ("file-server", "create", *_NAMED, "-f", "{file}"),
    "list_file_servers": ("file-server", "list", *_CHILD),
    "get_file_server": ("file-server", "show", *_NAMED),
    "delete_file_server": ("file-server", "delete", *_NAMED, "--yes"),
    "list_usages": ("list-usages", "-l", "{0}"),
}


class AzClient:
    """`az batchai`: our extension or the module that azure-cli ships, as `run` has it."""

    def __init__(self, run: Callable[..., Outcome], folder: Path, missing: tuple[str, ...] = ()) -> None:
        self.run = run
        self._folder = folder
        self._missing = missing

    def call(self, method: str, *args: Any) -> Any:
        if method in self._missing or method not in _COMMANDS:
            raise Unsupported(method)
        values = {}
        if args and isinstance(args[-1], dict):
            file = self._folder / "body.json"
            file.write_text(json.dumps(args[-1]), encoding="utf-8")
            cluster = args[-1]["properties"].get("cluster", {}).get("id", "")
            values = {"file": str(file), "cluster": cluster.rpartition("/")[2]}
        words = [word.format(*args, **values) for word in _COMMANDS[method]]
        outcome = self.run("batchai", *words, "-o", "json")
        if outcome.code:
            # "ERROR: (Code) Message" is what azure-core prints, "ERROR: Message (Code)" what our extension does.
            found = re.search(r"ERROR: (?:\((\w+)\) (.*)|(.*) \((\w+)\))$", outcome.stderr, re.MULTILINE)
            assert found, f"az batchai {' '.join(words)}: {outcome.code} {outcome.stderr}"
            raise ClientError(found[1] or found[4], found[2] or found[3])
        return normal(json.loads(outcome.output)) if outcome.output.strip() else None


class PeerAz:
    """az in a process of its own, kept running."""

    def __init__(self, env: dict[str, str], log: Path) -> None:
        self.peer = Peer([sys.executable, str(HERE / "az_driver.py")], log, env)

    def __call__(self, *args: str) -> Outcome:
        return Outcome(**self.peer.ask(args))


def normal(value: Any) -> Any:
    """The same for every client: the properties of a resource beside its name, nothing that is null."""
    if isinstance(value, list):
        return [normal(item) for item in value]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("properties"), dict) and "id" in value:
        value = {**value, **value["properties"]}
        del value["properties"]
    return {name: normal(item) for name, item in value.items() if item is not None}
