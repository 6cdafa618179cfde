"""az batchai job metrics, experiment compare"""

# The parameters of a command are its flags. pylint: disable=too-many-positional-arguments

from __future__ import annotations

from typing import Any

from knack.log import get_logger

logger = get_logger(__name__)
TERMINAL = "-"  # --plot without a file


def show_metrics(
    cmd: Any,
    client: Any,
    resource_group_name: str,
    workspace_name: str,
    experiment_name: str,
    job_name: str,
    metric: list[str] | None = None,
    pattern: str | None = None,
    plot: str | None = None,
) -> Any:
    """The metrics of one job with all their values."""
    from azext_batchai.jobs import metrics

    expression = metrics.compiled(pattern)
    names = (resource_group_name, workspace_name, experiment_name, job_name)
    job = client.jobs.get(*names)
    found = metrics.of_job(client, names, job, expression)
    chosen = _chosen(found, metric, job_name)
    if not found:
        _say_nothing(f"Job {job_name} has", pattern)
    if plot is not None and chosen:
        curves = {name: found[name].points for name in chosen}
        if _plot(cmd, curves, f"Job {job_name}", plot):
            return None
    return [_summary(name, found[name]) for name in chosen]


def _chosen(found: Any, wanted: list[str] | None, job_name: str) -> list[str]:
    from azext_batchai.formats.metrics import named

    if wanted is None or not found:
        return sorted(found)
    chosen = []
    for name in wanted:
        there = named(found, name)
        if there is None:
            from azure.cli.core.azclierror import InvalidArgumentValueError

            raise InvalidArgumentValueError(
                f"Job {job_name} has no metric {name}.", recommendation=f"It has: {', '.join(sorted(found))}."
            )
        chosen.append(there)
    return chosen


def _summary(name: str, series: Any) -> dict[str, Any]:
    from azext_batchai.jobs.comparison import shown

    low, high = series.best(False), series.best(True)
    return {
        "metric": name,
        "count": len(series.points),
        "last": shown(series.last),
        "min": shown(low[1]) if low else None,
        "max": shown(high[1]) if high else None,
        "points": [[shown(step), shown(value)] for step, value in series.points],
    }


def compare_jobs(
    cmd: Any,
    client: Any,
    resource_group_name: str,
    workspace_name: str,
    experiment_name: str,
    metric: list[str] | None = None,
    greatest: bool = False,
    least: bool = False,
    sort: str | None = None,
    pattern: str | None = None,
    plot: str | None = None,
) -> Any:
    """The jobs of an experiment with their parameters and metrics."""
    from azext_batchai.command_line.progress import Spinner
    from azext_batchai.jobs import comparison, metrics

    if greatest and least:
        from azure.cli.core.azclierror import MutuallyExclusiveArgumentError

        raise MutuallyExclusiveArgumentError(
            "--max and --min exclude each other.", recommendation="Say with one of them which values are good."
        )
    expression = metrics.compiled(pattern)
    place = (resource_group_name, workspace_name, experiment_name)
    jobs = []
    with Spinner(cmd.cli_ctx) as spinner:
        listed = list(client.jobs.list_by_experiment(*place))
        for number, job in enumerate(listed):
            spinner.show(f"Reading the metrics of job {job.name} ({number + 1} of {len(listed)})")
            of_job = metrics.of_job(client, (*place, job.name), job, expression) if job.execution_info else {}
            jobs.append((job, of_job))
    if listed and not any(found for _, found in jobs):
        _say_nothing(f"No job of experiment {experiment_name} has", pattern)
    best = "max" if greatest else "min" if least else None
    rows = comparison.rows(jobs, comparison.Wanted(metric, best, sort))
    if plot is not None and _plot_jobs(cmd, jobs, rows, experiment_name, plot):
        return None
    return rows


def _plot_jobs(cmd: Any, jobs: Any, rows: Any, experiment_name: str, plot: str) -> bool:
    """One curve of each job, of the first metric; whether it was drawn in the terminal."""
    from azext_batchai.formats.metrics import named

    names = list(rows[0]["metrics"]) if rows else []
    if not names:
        return False
    of_job = {job.name: found for job, found in jobs}
    curves = {}
    for row in rows:
        there = named(of_job[row["name"]], names[0])
        if there:
            curves[row["name"]] = of_job[row["name"]][there].points
    return _plot(cmd, curves, f"{names[0]} of experiment {experiment_name}", plot)


def _plot(cmd: Any, curves: Any, title: str, where: str) -> bool:
    """Draw the curves; whether it was in the terminal, in place of the result."""
    import os
    import shutil
    import sys
    from pathlib import Path

    from azext_batchai.jobs import plot

    if where != TERMINAL:
        path = Path(where).expanduser()
        plot.write(path, curves, title)
        logger.warning("%s is written.", path)
        return False
    coloured = bool(cmd.cli_ctx.enable_color) and sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    sys.stdout.write(plot.text(curves, title, shutil.get_terminal_size().columns, coloured=coloured))
    return True


def _say_nothing(who: str, pattern: str | None) -> None:
    if pattern:
        logger.warning("%s no line on stdout that the pattern fits.", who)
    else:
        logger.warning(
            "%s neither a metrics.json nor JSON lines (*.jsonl) nor TensorBoard event files in its output directories; "
            "--pattern reads its stdout.",
            who,
        )
