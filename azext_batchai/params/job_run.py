"""The options of `job run` and `job sweep`, which make a job of a command line."""

from __future__ import annotations

from typing import Any

from azure.cli.core.commands.parameters import get_enum_type

from azext_batchai import _validators
from azext_batchai.command_line import options


def load_arguments(self: Any) -> None:
    _run(self)
    _sweep(self)


def _run(self: Any) -> None:
    with options.command(self, "job run") as c:
        _command_line(c)
        c.argument(
            "job_name",
            options_list=["--name", "-n"],
            validator=_validators.valid_name("job_name", "job"),
            help="Name of the job. By default a new one.",
        )
        c.argument(
            "secret",
            options_list=["--secret"],
            action="append",
            help="Secret variable: NAME takes its value from your environment, NAME=- asks for it. Can be repeated.",
        )
        c.argument(
            "download",
            options_list=["--download"],
            help="Folder to copy the job's output to when it has ended. A command line may write to "
            "$AZ_BATCHAI_OUTPUT_RESULTS then.",
        )
        c.argument("detach", options_list=["--detach"], action="store_true", help="Do not follow the job; show it.")
        c.argument(
            "timeout",
            options_list=["--timeout"],
            type=_validators.positive,
            help="Most seconds to follow the job; then the command exits with 124 and the job goes on.",
        )
        c.argument(
            "dry_run", options_list=["--dry-run"], action="store_true", help="Only print the job.json, without secrets."
        )


def _sweep(self: Any) -> None:
    with options.command(self, "job sweep") as c:
        _command_line(c)
        c.argument(
            "name_pattern",
            options_list=["--name", "-n"],
            help="Name of the jobs, such as 'lr-{lr}' or 'try-{number}'; what cannot be in a name becomes `_`. Where "
            "it makes the same name twice, numbers are added.",
        )
        c.argument(
            "param",
            options_list=["--param"],
            action="append",
            help="NAME=VALUES: `0.1,0.01`, whole numbers `0..4`, steps `0..1:0.25`, five on a logarithmic scale "
            "`log:1e-5..1e-1:5`. With --random also `0.1..0.9` and `log:1e-5..1e-1`. Can be repeated.",
        )
        c.argument(
            "param_file",
            options_list=["--param-file"],
            help='JSON or YAML file with parameters: {"lr": [0.1, 0.01], "seed": "0..4"}. Those of --param come first.',
        )
        c.argument(
            "random",
            options_list=["--random"],
            type=_validators.positive,
            help="Draw that many combinations in place of trying all.",
        )
        c.argument(
            "seed", options_list=["--seed"], type=_validators.count, help="Draw the same as with this seed before."
        )
        c.argument(
            "max_running",
            options_list=["--max-running"],
            type=_validators.positive,
            help="Most of these jobs to run at once. The embedded service keeps it, whoever is connected.",
        )
        c.argument(
            "dry_run", options_list=["--dry-run"], action="store_true", help="Only print the jobs, without secrets."
        )


def _command_line(c: Any) -> None:
    """The options of a job that is a command line or a file, and of where it runs."""
    c.positional(
        "words",
        nargs="*",
        help="The command line, after `--`. One word is a line of the shell's. On this machine it begins in "
        "the current folder.",
    )
    c.argument("resource_group_name", options_list=["--resource-group", "-g"], help="Name of the resource group.")
    options.workspace_name(c)
    options.experiment_name(c)
    text = f"Name of the cluster to run on, or its ARM ID.{options.configurable('cluster')}"
    options.cluster_to_run_on(c, text, configured_default="cluster")
    c.argument(
        "json_file",
        options_list=["--config-file", "-f"],
        help="A job.json in place of a command line (docs/job.md).",
    )
    c.argument("nodes", options_list=["--nodes"], type=_validators.positive, help="Number of nodes. By default 1.")
    c.argument(
        "processes",
        options_list=["--processes"],
        type=_validators.positive,
        help="Number of processes over all nodes. By default one for each node.",
    )
    c.argument(
        "toolkit",
        get_enum_type(["custom", "custommpi", "pytorch", "horovod", "chainer"]),
        options_list=["--toolkit"],
        help="What starts the processes. By default custom for one; for several pytorch, which needs no MPI, where "
        "the command line is a Python script, else custommpi.",
    )
    c.argument("image", options_list=["--image"], help="Container image to run in.")
    c.argument("env", options_list=["--env"], action="append", help="Variable NAME=VALUE. Can be repeated.")
    c.argument(
        "source",
        options_list=["--source"],
        help="Folder to copy to the cluster's share and to begin in, $AZ_BATCHAI_INPUT_SOURCE; without what "
        ".gitignore and .batchaiignore name. Only what has changed is copied again.",
    )
