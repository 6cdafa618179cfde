"""The options of commands that read the metrics of jobs."""

from __future__ import annotations

from typing import Any

from azext_batchai import _validators
from azext_batchai.command_line import options


def load_arguments(self: Any) -> None:
    _metrics(self)
    _tensorboard(self)


def _metrics(self: Any) -> None:
    with options.command(self, "job metrics") as c:
        _of_job(c)
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
        _of_job(c)
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


def _of_job(c: Any) -> None:
    options.workspace_name(c, id_part="name")
    options.experiment_name(c, id_part="child_name_1")
    options.name(c, "job_name", "job", ["--name", "-n"], id_part="resource_name")


def _of_experiment(c: Any) -> None:
    options.workspace_name(c, id_part="name")
    options.name(c, "experiment_name", "experiment", ["--name", "-n"], id_part="resource_name")
