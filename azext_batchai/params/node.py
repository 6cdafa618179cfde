"""The options of `cluster node` and `job node`."""

from __future__ import annotations

from typing import Any

from azext_batchai import _completers
from azext_batchai.command_line import options


def load_arguments(self: Any) -> None:
    _of_cluster(self)
    _of_job(self)


def _of_cluster(self: Any) -> None:
    # The documentation writes `cluster node list --name`.
    for verb, more in (("list", ["--name", "-n"]), ("exec", []), ("ssh", []), ("ssh-config", [])):
        with options.command(self, f"cluster node {verb}") as c:
            options.workspace_name(c)
            options.name(c, "cluster_name", "cluster", ["--cluster", "-c", *more])
    _node_exec(self, "cluster")
    _node_ssh(self, "cluster")
    _private_key(self, "cluster node ssh-config")
    with self.argument_context("batchai cluster node ssh-config") as c:
        c.argument(
            "write",
            options_list=["--write"],
            action="store_true",
            help="Write the hosts to a file in ~/.ssh/batchai, and let ~/.ssh/config include it.",
        )


def _of_job(self: Any) -> None:
    for verb in ("list", "exec", "ssh"):
        with options.command(self, f"job node {verb}") as c:
            options.workspace_name(c)
            options.experiment_name(c)
            options.name(c, "job_name", "job", ["--job", "-j"])
    _node_exec(self, "job")
    _node_ssh(self, "job")
    with self.argument_context("batchai job node ssh") as c:
        c.argument(
            "rank",
            options_list=["--rank"],
            help="Rank whose node to log in to, as the job's files are named by. By default the first.",
        )


def _node_exec(self: Any, noun: str) -> None:
    _forward_and_login(self, noun, "exec")
    with self.argument_context(f"batchai {noun} node exec") as c:
        c.argument(
            "exec_command",
            options_list=["--exec"],
            help="Command line to run on the node. Without it, --address forwards ports until you press Ctrl-C.",
        )
        options.password(c, "AZURE_BATCHAI_NODE_PASSWORD", "Password to log in with.")


def _node_ssh(self: Any, noun: str) -> None:
    _forward_and_login(self, noun, "ssh")
    with self.argument_context(f"batchai {noun} node ssh") as c:
        c.positional("words", nargs="*", metavar="COMMAND", help="What to run there, behind `--`. By default a shell.")


def _forward_and_login(self: Any, noun: str, verb: str) -> None:
    _private_key(self, f"{noun} node {verb}")
    with self.argument_context(f"batchai {noun} node {verb}") as c:
        c.argument(
            "node_id",
            options_list=["--node-id", "-n"],
            completer=_completers.nodes,
            help=f"ID of the node, as `az batchai {noun} node list` shows it. By default the first node.",
        )
        c.argument(
            "address",
            options_list=["--address", "-L"],
            action="append",
            help="Forward a port or UNIX socket of this machine to what the node reaches, as ssh does: `PORT` (the "
            "node's own port of that number), "
            "`[BIND:]PORT:HOST:HOSTPORT`, `[BIND:]PORT:/NODE/SOCKET`, `/LOCAL/SOCKET:HOST:HOSTPORT` or "
            "`/LOCAL/SOCKET:/NODE/SOCKET`. It listens on 127.0.0.1 unless BIND says otherwise. Can be repeated.",
        )


def _private_key(self: Any, scope: str) -> None:
    with self.argument_context(f"batchai {scope}") as c:
        c.argument(
            "ssh_private_key",
            options_list=["--ssh-private-key", "-k"],
            help="Path of the SSH private key to log in with. By default the keys of your SSH agent and those in "
            "~/.ssh.",
        )
