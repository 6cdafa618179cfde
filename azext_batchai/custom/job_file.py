"""az batchai job file ..."""

# The parameters of a command are its flags. pylint: disable=too-many-positional-arguments

from __future__ import annotations

import sys
from typing import Any

from knack.log import get_logger

from azext_batchai import _client_factory as clients
from azext_batchai.command_line.exit_status import ExitStatus, discard_output

logger = get_logger(__name__)

# Seconds between two looks at a file: on this machine a look costs a millisecond.
_LOCAL_INTERVAL, _REMOTE_INTERVAL = 0.2, 1.0


def show_files(
    cmd: Any,
    client: Any,
    resource_group_name: str,
    workspace_name: str,
    experiment_name: str,
    job_name: str,
    output_directory_id: str = "stdouterr",
    path: str = ".",
    expiry: int = 60,
) -> Any:
    """List a folder of the job's output; a person at a terminal is told where it is on this machine."""
    names = (resource_group_name, workspace_name, experiment_name, job_name)
    found = list_files(client, *names, output_directory_id, path, expiry)
    if sys.stderr.isatty() and clients.is_local(cmd.cli_ctx):
        from azext_batchai.jobs.places import local_output

        folder = local_output(client, client.jobs.get(*names), str(output_directory_id), str(path))
        if folder:
            logger.warning("These files are in %s", folder)
    return found


def list_files(
    client: Any,
    resource_group_name: str,
    workspace_name: str,
    experiment_name: str,
    job_name: str,
    output_directory_id: str = "stdouterr",
    path: str = ".",
    expiry: int = 60,
) -> Any:
    from azure.mgmt.batchai import models

    options = models.JobsListOutputFilesOptions(
        outputdirectoryid=str(output_directory_id), directory=str(path), linkexpiryinminutes=int(expiry)
    )
    return list(client.jobs.list_output_files(resource_group_name, workspace_name, experiment_name, job_name, options))


def stream_file(
    cmd: Any,
    client: Any,
    resource_group_name: str,
    workspace_name: str,
    experiment_name: str,
    job_name: str,
    file_name: str,
    output_directory_id: str = "stdouterr",
    path: str = ".",
) -> None:
    """Write the file to stdout as it grows, until the job has ended."""
    from azext_batchai.command_line.progress import Spinner
    from azext_batchai.jobs.stream import JobFile, follow

    names = (resource_group_name, workspace_name, experiment_name, job_name)
    file = JobFile(
        name=file_name,
        files=lambda: list_files(client, *names, output_directory_id, path),
        job=lambda: client.jobs.get(*names),
        of_toolkit=output_directory_id == "stdouterr" and path == ".",
    )
    interval = _LOCAL_INTERVAL if clients.is_local(cmd.cli_ctx) else _REMOTE_INTERVAL
    with Spinner(cmd.cli_ctx) as spinner:
        try:
            follow(client, file, interval, spinner)
        except KeyboardInterrupt:
            spinner.clear()
            logger.warning("No longer following the file; the job goes on.")
            sys.exit(ExitStatus.INTERRUPTED)
        except BrokenPipeError:
            discard_output()
            sys.exit(ExitStatus.BROKEN_PIPE)
