"""The options of commands that copy files and compare results."""

from __future__ import annotations

from typing import Any

from azext_batchai.command_line import options


def load_arguments(self: Any) -> None:
    """Beside those of `_params`."""
    _files(self)


def _files(self: Any) -> None:
    for verb in ("download", "upload"):
        with options.command(self, f"job file {verb}") as c:
            options.workspace_name(c)
            options.name(c, "experiment_name", "experiment", ["--experiment", "-e"])
            options.name(c, "job_name", "job", ["--job", "-j"])
            output_directory(c)
    with self.argument_context("batchai job file download") as c:
        c.argument("dest", options_list=["--dest"], help="Folder to copy to. By default the current one.")
    with options.command(self, "cluster file upload") as c:
        options.workspace_name(c)
        options.name(c, "cluster_name", "cluster", ["--cluster", "-c"])
        c.argument(
            "path",
            options_list=["--path", "-p"],
            help="Where to, below $AZ_BATCHAI_MOUNT_ROOT, such as `autoafs/data`. By default the first mount.",
        )
    for command in ("job file upload", "cluster file upload"):
        with self.argument_context(f"batchai {command}") as c:
            c.argument("source", options_list=["--source"], help="File or folder of this machine to copy.")


def output_directory(c: Any) -> None:
    """-d and -p of one output folder of a job."""
    c.argument(
        "output_directory_id",
        options_list=["--output-directory-id", "-d"],
        help="`stdouterr` for stdout, stderr and the logs, or the ID of one of the job's `outputDirectories`.",
    )
    c.argument("path", options_list=["--path", "-p"], help="Subfolder of that folder.")


def source(c: Any) -> None:
    """--source of jobs that are made of a command line."""
    c.argument(
        "source",
        options_list=["--source"],
        help="Folder to copy to the cluster's share and to begin in, $AZ_BATCHAI_INPUT_SOURCE; without what "
        ".gitignore and .batchaiignore name. Only what has changed is copied again.",
    )
