"""The options of `local`."""

from __future__ import annotations

from typing import Any

from azure.cli.core.commands.parameters import get_enum_type

from azext_batchai import _validators


def load_arguments(self: Any) -> None:
    with self.argument_context("batchai local up") as c:
        c.argument(
            "port", options_list=["--port"], type=_validators.port, help="Port to listen on. By default any free one."
        )
    with self.argument_context("batchai local engines") as c:
        c.argument(
            "check",
            options_list=["--check"],
            action="store_true",
            help="Try each one: are Slurm's commands, the partition and account, the shared folder and Python there?",
        )
    with self.argument_context("batchai local connection-string") as c:
        c.argument("account_name", options_list=["--account-name", "-n"], help="Name of the storage account.")
        c.argument(
            "resource_group_name",
            id_part=None,
            required=False,
            validator=_validators.valid_resource_group,
            help="Resource group in which the account is made where it is missing. By default 'local'.",
        )
    for command in ("env", "run"):
        with self.argument_context(f"batchai local {command}") as c:
            c.argument(
                "with_defaults",
                options_list=["--with-defaults"],
                action="store_true",
                help="Take your own defaults along (`az configure --defaults`).",
            )
    with self.argument_context("batchai local env") as c:
        c.argument(
            "shell",
            options_list=["--shell"],
            arg_type=get_enum_type(["bash", "zsh", "fish", "powershell", "cmd"]),
            help="Shell to write for. By default your own.",
        )
        c.argument("unset", options_list=["--unset"], action="store_true", help="Write what takes the shell back.")
        c.argument("as_json", options_list=["--json"], action="store_true", help="Return the variables as JSON.")
    with self.argument_context("batchai local ui") as c:
        c.argument(
            "open_browser",
            options_list=["--open"],
            action="store_true",
            help="Open the page in a browser. By default that is done on a desktop.",
        )
        c.argument(
            "print_only", options_list=["--print"], action="store_true", help="Only print the address, open nothing."
        )
        c.argument("revoke", options_list=["--revoke"], action="store_true", help="End all sessions of the page.")
    with self.argument_context("batchai local top") as c:
        c.argument(
            "once", options_list=["--once"], action="store_true", help="Print it once, as is done off a terminal."
        )
        c.argument(
            "interval", options_list=["--interval"], type=_validators.positive, help="How often to look, in seconds."
        )
    with self.argument_context("batchai local run") as c:
        c.positional("words", nargs="*", metavar="PROGRAM", help="The program and its arguments, behind `--`.")
    with self.argument_context("batchai local preempt") as c:
        c.argument("node_id", options_list=["--node-id", "-n"], help="ID of the node to take away.")
    with self.argument_context("batchai local logs") as c:
        c.argument("tail", options_list=["--tail"], type=_validators.count, help="Show only that many last lines.")
        c.argument("follow", options_list=["--follow"], action="store_true", help="Go on with new lines until Ctrl-C.")
