"""The options of commands that copy files and compare results."""

from __future__ import annotations

from typing import Any

from azext_batchai import _validators
from azext_batchai.command_line import options


def load_arguments(self: Any) -> None:
    """Beside those of `_params`."""
    _files(self)
    _metrics(self)
    _tensorboard(self)


def _metrics(self: Any) -> None:
    with options.command(self, "job metrics") as c:
        _of_job(c, ["--name", "-n"])
    with options.command(self, "experiment compare") as c:
        _of_experiment(c)
        c.argument(
            "greatest",
            options_list=["--max"],
            action="store_true",
            help="Greater is better: show the greatest value of each job in place of its last.",
        )
        c.argument("least", options_list=["--min"], action="store_true", help="Show the least value of each job.")
        c.argument(
            "sort",
            options_list=["--sort"],
            nargs="?",
            const="metric",
            help="Sort by the first metric, the best first; or by `name`, `duration`, a parameter or another metric.",
        )
    for command in ("job metrics", "experiment compare"):
        with self.argument_context(f"batchai {command}") as c:
            c.argument(
                "metric",
                options_list=["--metric"],
                type=_validators.names,
                help="Names of metrics, with commas between them; `accuracy` also means `eval/accuracy`. By default "
                "all.",
            )
            c.argument(
                "pattern",
                options_list=["--pattern"],
                help="Read stdout by this regular expression in place of files: each named group is a metric, one "
                "named step or epoch the step.",
            )
            c.argument(
                "plot",
                options_list=["--plot"],
                nargs="?",
                const="-",
                help="Draw the curves in the terminal, or into a file that ends with .svg, .html or .png (which needs "
                "matplotlib).",
            )


def _tensorboard(self: Any) -> None:
    with options.command(self, "job tensorboard") as c:
        _of_job(c, ["--name", "-n"])
    with options.command(self, "experiment tensorboard") as c:
        _of_experiment(c)
    for command in ("job tensorboard", "experiment tensorboard"):
        with self.argument_context(f"batchai {command}") as c:
            c.argument(
                "output_directory_id",
                options_list=["--output-directory-id", "-d"],
                help="ID of one of the `outputDirectories`. By default all that have event files.",
            )
            c.argument("port", options_list=["--port"], type=_validators.port, help="Port of TensorBoard.")


def _of_job(c: Any, names: list[str]) -> None:
    options.workspace_name(c, id_part="name")
    options.name(c, "experiment_name", "experiment", ["--experiment", "-e"], id_part="child_name_1")
    options.name(c, "job_name", "job", names, id_part="resource_name")


def _of_experiment(c: Any) -> None:
    options.workspace_name(c, id_part="name")
    options.name(c, "experiment_name", "experiment", ["--name", "-n"], id_part="resource_name")


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
