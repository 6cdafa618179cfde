"""The options of `job`."""

from __future__ import annotations

from typing import Any

from azure.cli.core.commands.parameters import get_enum_type

from azext_batchai import _validators
from azext_batchai.command_line import durations, options


def load_arguments(self: Any) -> None:
    for verb in ("create", "show", "wait", "logs", "resubmit", "diagnose", "terminate", "delete"):
        with options.command(self, f"job {verb}") as c:
            options.workspace_name(c, id_part="name")
            options.experiment_name(c, id_part="child_name_1")
            options.name(c, "job_name", "job", ["--name", "-n"], id_part="resource_name")
    with options.command(self, "job list") as c:
        options.workspace_name(c)
        options.experiment_name(c)
        c.argument(
            "wide",
            options_list=["--wide"],
            action="store_true",
            help="Let the table say when jobs started, how long they ran, and why they wait or failed, as it does on a "
            "terminal that is wide enough.",
        )
    with self.argument_context("batchai job create") as c:
        options.cluster_to_run_on(
            c,
            "Name of the cluster to run on, or its ARM ID where it is in another workspace. It may be left out where "
            f"the configuration file has it as `cluster`.{options.configurable('cluster')}",
            id_part=None,
        )
    options.config_file_argument(self, "batchai job create")
    options.storage_mounts(self, "batchai job create", "AZ_BATCHAI_JOB_MOUNT_ROOT", "on the job's nodes while it runs")
    with self.argument_context("batchai job wait") as c:
        c.argument(
            "check_interval_sec",
            options_list=["--interval"],
            type=_validators.positive,
            help="Most seconds between two looks at the job; the first looks come sooner.",
        )
        c.argument(
            "timeout",
            options_list=["--timeout"],
            type=_validators.positive,
            help="Most seconds to wait; then the command exits with 124 and the job goes on. By default for ever.",
        )
        c.argument(
            "any_job",
            options_list=["--any"],
            action="store_true",
            help="In place of --name: wait for the first of the experiment's jobs that ends, and print it.",
        )
    with self.argument_context("batchai job create") as c:
        c.argument(
            "dry_run",
            options_list=["--dry-run"],
            action="store_true",
            help="Check the job and print what would be sent, without keys and secrets; make nothing.",
        )
        c.argument(
            "strict",
            options_list=["--strict"],
            action="store_true",
            help="Refuse unknown keys, what the cluster cannot give, and scripts and programs that are not there.",
        )
    _config_files(self)
    _again(self)
    with self.argument_context("batchai job logs") as c:
        c.argument(
            "rank",
            options_list=["--rank"],
            type=_validators.names,
            help="Only these ranks, with commas between them. By default all.",
        )
        c.argument("stderr", options_list=["--stderr"], action="store_true", help="Show stderr in place of stdout.")
        c.argument("tail", options_list=["--tail"], type=_validators.count, help="Only that many last lines of each.")
        c.argument(
            "since",
            options_list=["--since"],
            type=durations.moment,
            help="Only lines from then on: `5m`, `2h` or a time such as 2026-01-31T12:00. It goes by the times that "
            "lines begin with and by when files were last written to.",
        )
        c.argument("follow", options_list=["--follow"], action="store_true", help="Go on until the job has ended.")
        c.argument(
            "timestamps",
            options_list=["--timestamps"],
            action="store_true",
            help="Put before each line when it came. Lines that are there already have a dash: when a job wrote them "
            "is kept nowhere.",
        )


def _again(self: Any) -> None:
    with self.argument_context("batchai job show") as c:
        c.argument(
            "as_config",
            options_list=["--as-config"],
            action="store_true",
            help="Print the job.json that makes such a job, without keys and secrets, which the service shows nobody.",
        )
    with self.argument_context("batchai job resubmit") as c:
        c.argument(
            "new_name",
            options_list=["--new-name"],
            validator=_validators.valid_name("new_name", "job"),
            help="Name of the new job. By default the old one's with a number.",
        )
        options.cluster_to_run_on(c, "Name of another cluster to run on, or its ARM ID.", id_part=None)
        c.argument(
            "settings",
            options_list=["--set"],
            action="append",
            help="KEY=VALUE with a key of job.json such as `nodeCount` or `pyTorchSettings.commandLineArgs`; the value "
            "is JSON, or else text. Can be repeated.",
        )
        c.argument(
            "secret",
            options_list=["--secret"],
            action="append",
            help="Secret of the job: NAME takes its value from your environment, NAME=- asks for it. Can be repeated.",
        )


def _config_files(self: Any) -> None:
    for verb in ("init", "validate"):
        options.config_file_argument(self, f"batchai job {verb}")
    with self.argument_context("batchai job schema") as c:
        c.argument(
            "file_of",
            get_enum_type(["job", "cluster", "file-server"]),
            options_list=["--file-of"],
            help="Whose configuration file.",
        )
    with self.argument_context("batchai job init") as c:
        c.argument("json_file", options_list=["--config-file", "-f"], help="Path of the file to write.")
        c.argument("toolkit", get_enum_type(_TOOLKITS), options_list=["--toolkit"], help="What runs the job.")
        c.argument("nodes", options_list=["--nodes"], type=_validators.positive, help="Number of nodes.")
        c.argument(
            "processes",
            options_list=["--processes"],
            type=_validators.positive,
            help="Number of processes over all nodes. By default one for each node.",
        )
        c.argument("script", options_list=["--script"], help="Name of the script in the share.")
    with options.command(self, "job validate") as c:
        options.workspace_name(c)
        c.argument("resource_group_name", required=False)
        options.cluster_to_run_on(c, "Name of the cluster to hold the job against, or its ARM ID.")


_TOOLKITS = ("custom", "custommpi", "pytorch", "tensorflow", "horovod", "chainer", "cntk", "caffe", "caffe2")
