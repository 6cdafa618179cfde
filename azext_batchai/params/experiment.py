"""The options of `experiment`."""

from __future__ import annotations

from typing import Any

from azext_batchai import _validators
from azext_batchai.command_line import options


def load_arguments(self: Any) -> None:
    for verb in ("create", "show", "delete", "wait", "terminate", "resubmit"):
        with options.command(self, f"experiment {verb}") as c:
            options.workspace_name(c, id_part="name")
            options.name(c, "experiment_name", "experiment", ["--name", "-n"], id_part="resource_name")
    with options.command(self, "experiment list") as c:
        options.workspace_name(c)
    with self.argument_context("batchai experiment wait") as c:
        c.argument(
            "check_interval_sec",
            options_list=["--interval"],
            type=_validators.positive,
            help="Most seconds between two looks at the jobs; the first looks come sooner.",
        )
        c.argument(
            "timeout",
            options_list=["--timeout"],
            type=_validators.positive,
            help="Most seconds to wait; then the command exits with 124 and the jobs go on. By default for ever.",
        )
    with self.argument_context("batchai experiment resubmit") as c:
        c.argument("failed", options_list=["--failed"], action="store_true", help="Only the jobs that failed.")
        c.argument(
            "secret",
            options_list=["--secret"],
            action="append",
            help="Secret of the jobs: NAME takes its value from your environment, NAME=- asks for it. Can be repeated.",
        )
