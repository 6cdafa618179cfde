"""az batchai job file download, upload; cluster file upload"""

# The parameters of a command are its flags. pylint: disable=too-many-positional-arguments

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from knack.log import get_logger

from azext_batchai import _client_factory as clients

logger = get_logger(__name__)
STDOUTERR = "stdouterr"


def download_files(
    cmd: Any,
    client: Any,
    resource_group_name: str,
    workspace_name: str,
    experiment_name: str,
    job_name: str,
    output_directory_id: str = STDOUTERR,
    path: str = ".",
    dest: str = ".",
) -> Any:
    """Copy an output folder of a job, with all its subfolders, to this machine."""
    names = (resource_group_name, workspace_name, experiment_name, job_name)
    return _download(cmd, client, names, output_directory_id, path, Path(dest).expanduser())


def download_all(cmd: Any, client: Any, names: tuple[str, ...], job: Any, dest: str) -> None:
    """Copy all output folders of a job (SDK): stdout and stderr to `dest`, each other one to a folder of its ID."""
    target = Path(dest).expanduser()
    _download(cmd, client, names, STDOUTERR, ".", target)
    for directory in job.output_directories or []:
        _download(cmd, client, names, directory.id, ".", target / directory.id)


def copy_quietly(cmd: Any, client: Any, names: tuple[str, ...], directory_id: str, target: Path) -> None:
    """Copy an output folder of a job to this machine."""
    _copy(cmd, client, names, directory_id, "", target)


def _download(
    cmd: Any, client: Any, names: tuple[str, ...], directory_id: str, path: str, target: Path
) -> dict[str, Any]:
    tally = _copy(cmd, client, names, directory_id, "" if path in ("", ".") else path.strip("/"), target)
    logger.warning("%s: %s", target, tally.told())
    return {"folder": str(target.resolve()), **tally.summary()}


def _copy(cmd: Any, client: Any, names: tuple[str, ...], directory_id: str, folder: str, target: Path) -> Any:
    from azext_batchai.custom.job_file import list_files
    from azext_batchai.jobs.transfer import Tally, download

    def listing(folder: str) -> list[Any]:
        return list(list_files(client, *names, directory_id, folder))

    with _interruptible(cmd) as spinner:
        tally = Tally(spinner)
        download(listing, lambda: client.jobs.get(*names), target, tally, folder)
    return tally


def upload_to_job(
    cmd: Any,
    client: Any,
    resource_group_name: str,
    workspace_name: str,
    experiment_name: str,
    job_name: str,
    source: str,
    output_directory_id: str = STDOUTERR,
    path: str = ".",
) -> Any:
    """Copy a file or a folder into an output folder of a job."""
    from azext_batchai.jobs.places import output_place

    job = client.jobs.get(resource_group_name, workspace_name, experiment_name, job_name)
    return _upload(cmd, source, output_place(client, clients.is_local(cmd.cli_ctx), job, output_directory_id), path)


def upload_to_cluster(
    cmd: Any,
    client: Any,
    resource_group_name: str,
    workspace_name: str,
    cluster_name: str,
    source: str,
    path: str | None = None,
) -> Any:
    """Copy a file or a folder to a share or container that the cluster mounts."""
    from azext_batchai.jobs.places import mounted_place

    cluster = client.clusters.get(resource_group_name, workspace_name, cluster_name)
    return _upload(cmd, source, mounted_place(client, clients.is_local(cmd.cli_ctx), cluster, path), ".")


def _upload(cmd: Any, source: str, place: Any, path: str) -> dict[str, Any]:
    from azext_batchai.jobs.places import inside
    from azext_batchai.jobs.transfer import Tally, upload

    given = Path(source).expanduser()
    if not given.exists():
        from azure.cli.core.azclierror import FileOperationError

        raise FileOperationError(f"There is no {source}.", recommendation="Check the path given with --source.")
    place = inside(place, path)
    with _interruptible(cmd) as spinner:
        tally = Tally(spinner)
        upload(given, place, tally)
    logger.warning("%s", tally.told())
    where = {"localPath": str(place.local)} if place.local else {}
    return {**where, **tally.summary()}


@contextlib.contextmanager
def _interruptible(cmd: Any) -> Iterator[Any]:
    """A spinner; Ctrl-C says how to go on, and ends az."""
    from azext_batchai.command_line.exit_status import ExitStatus
    from azext_batchai.command_line.progress import Spinner

    with Spinner(cmd.cli_ctx) as spinner:
        try:
            yield spinner
        except KeyboardInterrupt:
            spinner.clear()
            logger.warning("What is copied stays; the same command goes on where it stopped.")
            sys.exit(ExitStatus.INTERRUPTED)
