"""az batchai job tensorboard, experiment tensorboard"""

# The parameters of a command are its flags. pylint: disable=too-many-positional-arguments

from __future__ import annotations

from pathlib import Path
from typing import Any

from knack.log import get_logger

from azext_batchai import _client_factory as clients
from azext_batchai.command_line.exit_status import end

logger = get_logger(__name__)


def show_job(
    cmd: Any,
    client: Any,
    resource_group_name: str,
    workspace_name: str,
    experiment_name: str,
    job_name: str,
    output_directory_id: str | None = None,
    port: int | None = None,
) -> None:
    """Start TensorBoard on the output of one job."""
    place = (resource_group_name, workspace_name, experiment_name)
    _run(cmd, client, place, [client.jobs.get(*place, job_name)], output_directory_id, port)


def show_experiment(
    cmd: Any,
    client: Any,
    resource_group_name: str,
    workspace_name: str,
    experiment_name: str,
    output_directory_id: str | None = None,
    port: int | None = None,
) -> None:
    """Start TensorBoard on the output of all jobs of an experiment, each of which is a run."""
    place = (resource_group_name, workspace_name, experiment_name)
    _run(cmd, client, place, list(client.jobs.list_by_experiment(*place)), output_directory_id, port)


def _run(
    cmd: Any, client: Any, place: tuple[str, ...], jobs: list[Any], directory_id: str | None, port: int | None
) -> None:
    """Run TensorBoard to its end, over a folder with one of each job; its exit code is that of the command."""
    import os
    import tempfile

    from azext_batchai.local.program import run

    program = _program()
    with tempfile.TemporaryDirectory(prefix="batchai-tensorboard-") as folder:
        runs, copies = Path(folder, "runs"), Path(folder, "copies")
        runs.mkdir()
        for job in jobs:
            _provide(runs / job.name, _folders(cmd, client, place, job, directory_id, copies / job.name))
        if not any(runs.iterdir()):
            from azure.cli.core.azclierror import ResourceNotFoundError

            raise ResourceNotFoundError(
                "There are no event files yet that TensorBoard could show.",
                recommendation="Jobs write them to their output directories, as torch.utils.tensorboard does.",
            )
        words = [*program, "--logdir", str(runs), *(("--port", str(port)) if port else ())]
        logger.warning("%s", " ".join(words))
        code = run(words, os.environ)
    if code:
        end(cmd.cli_ctx, code)


def _folders(
    cmd: Any, client: Any, place: tuple[str, ...], job: Any, directory_id: str | None, copies: Path
) -> dict[str, Path]:
    """The output folders of a job that have event files: those of this machine themselves, others as copies."""
    from azext_batchai.custom.job_transfer import STDOUTERR, copy_quietly
    from azext_batchai.jobs.places import output_place

    wanted = [directory_id] if directory_id else [*(entry.id for entry in job.output_directories or []), STDOUTERR]
    found = {}
    for directory in wanted:
        if clients.is_local(cmd.cli_ctx):
            local = output_place(client, True, job, directory).local
        else:
            local = copies / directory
            copy_quietly(cmd, client, (*place, job.name), directory, local)
        if local and _has_events(local):
            found[directory] = local
    return found


def _provide(run: Path, folders: dict[str, Path]) -> None:
    """Link the folders: a job with one of them is one run, of its name."""
    if len(folders) == 1:
        [folder] = folders.values()
        run.symlink_to(folder, target_is_directory=True)
    elif folders:
        run.mkdir()
        for directory, folder in folders.items():
            (run / directory).symlink_to(folder, target_is_directory=True)


def _has_events(folder: Path) -> bool:
    from azext_batchai.formats.event_files import NAME

    return any(folder.rglob(f"{NAME}*"))


def _program() -> list[str]:
    """How to start the user's TensorBoard. Raises FileOperationError where there is none."""
    import shutil

    found = shutil.which("tensorboard")
    if found:
        return [found]
    from azure.cli.core.azclierror import FileOperationError

    raise FileOperationError(
        "There is no tensorboard on the PATH.",
        recommendation="Install it with `pip install tensorboard` in the environment of your jobs, and activate that.",
    )
