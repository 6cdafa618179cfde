"""az batchai job sweep"""

# The parameters of a command are its flags. pylint: disable=too-many-positional-arguments

from __future__ import annotations

# pylint: disable=too-many-locals
from typing import Any

from knack.log import get_logger

from azext_batchai import _client_factory as clients

logger = get_logger(__name__)


def sweep_jobs(
    cmd: Any,
    words: list[str] | None = None,
    resource_group_name: str = "batchai",
    workspace_name: str = "default",
    experiment_name: str = "default",
    cluster: str = "default",
    name_pattern: str | None = None,
    json_file: str | None = None,
    param: list[str] | None = None,
    param_file: str | None = None,
    random: int | None = None,
    seed: int | None = None,
    max_running: int | None = None,
    nodes: int | None = None,
    processes: int | None = None,
    toolkit: str | None = None,
    image: str | None = None,
    env: list[str] | None = None,
    source: str | None = None,
    dry_run: bool = False,
) -> Any:
    """Submit a job for each combination of parameters, in one session."""
    from azext_batchai.custom.job_run import job_of, place_results, working_folder
    from azext_batchai.jobs import run, sweep
    from azext_batchai.jobs.template import OUTPUT

    is_local = clients.is_local(cmd.cli_ctx)
    folder = working_folder(is_local, image, source)
    request = run.Request(words or (), nodes, processes, toolkit, image, env or (), (), folder, results=True)
    job = job_of(request, json_file, "sweep")
    points = _points(param or [], param_file, random, seed)
    sweep_name = run.new_name("sweep")
    names = sweep.names(name_pattern or f"{sweep_name}-{{{sweep.NUMBER}}}", points)
    if dry_run:
        place_results(job, OUTPUT)
    properties = job.serialize()["properties"]
    for name in sweep.unused(properties, points):
        logger.warning("The job uses parameter %s nowhere: write {%s} in its command line.", name, name)
    if not dry_run:
        places = run.Places(resource_group_name, workspace_name, experiment_name, cluster)
        properties = _submittable(cmd, places, job, names, is_local, source)
    bodies = {
        name: {"properties": sweep.body_of(properties, point, sweep_name, max_running)}
        for name, point in zip(names, points)
    }
    if dry_run:
        from azext_batchai.custom.job import without_secrets

        return [
            {"name": name, "parameters": point, "job": without_secrets(bodies[name])}
            for name, point in zip(names, points)
        ]
    return _submit(cmd, (resource_group_name, workspace_name, experiment_name), bodies, points)


def _points(options: list[str], file: str | None, count: int | None, seed: int | None) -> list[dict[str, str]]:
    """What is to be tried. Raises RequiredArgumentMissingError where no parameter is given."""
    from azext_batchai.jobs import parameters

    found = parameters.of_options(options, _read(file) if file else {})
    if not found:
        from azure.cli.core.azclierror import RequiredArgumentMissingError

        raise RequiredArgumentMissingError(
            "A sweep needs a parameter.", recommendation="Give --param lr=0.1,0.01, or a file with --param-file."
        )
    if count is not None and seed is None:
        import secrets

        seed = secrets.randbelow(10_000)
        logger.warning("The points are drawn with --seed %s.", seed)
    return parameters.points(found, count, seed)


def _read(file: str) -> dict[str, Any]:
    from azext_batchai.command_line.config_file import read_object

    return read_object(file, "--param-file")


def _submittable(
    cmd: Any, places: Any, job: Any, names: list[str], is_local: bool, source: str | None
) -> dict[str, Any]:
    """The properties of the job with its cluster, output and mounts; what is missing is made where it may be.

    Raises ValidationError for a name that the experiment has.
    """
    from azext_batchai.custom.job_run import complete, provide_cluster

    client = clients.batchai(cmd.cli_ctx)
    cluster = provide_cluster(cmd, client, places, is_local)
    there = {job.name.lower() for job in client.jobs.list_by_experiment(*_experiment(places))}
    taken = [name for name in names if name.lower() in there]
    if taken:
        from azure.cli.core.azclierror import ValidationError

        raise ValidationError(
            f"Experiment {places.experiment} has {len(taken)} jobs of these names already: {', '.join(taken[:5])}"
            f"{', ...' if len(taken) > 5 else '.'}",
            recommendation="Give another --name, or another experiment with -e.",
        )
    complete(cmd, client, places, job, cluster, source)
    properties: dict[str, Any] = job.serialize()["properties"]
    return properties


def _experiment(places: Any) -> tuple[str, str, str]:
    return places.group, places.workspace, places.experiment


def _submit(cmd: Any, place: tuple[str, str, str], bodies: dict[str, Any], points: list[dict[str, str]]) -> Any:
    from azext_batchai.command_line import config_file
    from azext_batchai.command_line.progress import Spinner
    from azext_batchai.jobs import sweep

    client = clients.batchai(cmd.cli_ctx)
    jobs = {name: config_file.to_model("The job", body, "JobCreateParameters")[0] for name, body in bodies.items()}
    with Spinner(cmd.cli_ctx) as spinner:
        sweep.submit(client, place, jobs, spinner)
    group, workspace, experiment = place
    logger.warning(
        "%s jobs are submitted. Wait for them with: az batchai experiment wait -g %s -w %s -n %s",
        *(len(jobs), group, workspace, experiment),
    )
    made = {job.name: job for job in client.jobs.list_by_experiment(*place) if job.name in jobs}
    return [
        {
            "name": name,
            "parameters": point,
            "executionState": made[name].execution_state if name in made else None,
            "id": made[name].id if name in made else None,
        }
        for name, point in zip(jobs, points)
    ]
