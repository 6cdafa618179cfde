"""The options of `cluster file` and `job file`."""

from __future__ import annotations

from typing import Any

from azext_batchai import _completers, _validators
from azext_batchai.command_line import options


def load_arguments(self: Any) -> None:
    _of_cluster(self)
    _of_job(self)
    for command in ("job file upload", "cluster file upload"):
        with self.argument_context(f"batchai {command}") as c:
            c.argument("source", options_list=["--source"], help="File or folder of this machine to copy.")


def _of_cluster(self: Any) -> None:
    for verb in ("list", "upload"):
        with options.command(self, f"cluster file {verb}") as c:
            options.workspace_name(c)
            options.name(c, "cluster_name", "cluster", ["--cluster", "-c"])
    with self.argument_context("batchai cluster file list") as c:
        c.argument("path", options_list=["--path", "-p"], help="Subfolder of the setup task's output folder.")
        options.expiry(c)
    with self.argument_context("batchai cluster file upload") as c:
        c.argument(
            "path",
            options_list=["--path", "-p"],
            help="Where to, below $AZ_BATCHAI_MOUNT_ROOT, such as `autoafs/data`. By default the first mount.",
        )


def _of_job(self: Any) -> None:
    for verb in ("list", "stream", "download", "upload"):
        with options.command(self, f"job file {verb}") as c:
            options.workspace_name(c)
            options.experiment_name(c)
            options.name(c, "job_name", "job", ["--job", "-j"])
            c.argument(
                "output_directory_id",
                options_list=["--output-directory-id", "-d"],
                completer=_completers.output_directories,
                help="`stdouterr` for stdout, stderr and the logs, or the ID of one of the job's `outputDirectories`.",
            )
            c.argument("path", options_list=["--path", "-p"], help="Subfolder of that folder.")
    with self.argument_context("batchai job file list") as c:
        options.expiry(c)
    with self.argument_context("batchai job file stream") as c:
        c.argument(
            "file_name",
            options_list=["--file-name", "-f"],
            validator=_validators.valid_file_name,
            completer=_completers.files,
            help="Name of the file to follow.",
        )
    with self.argument_context("batchai job file download") as c:
        c.argument("dest", options_list=["--dest"], help="Folder to copy to. By default the current one.")
