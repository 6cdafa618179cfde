"""The metrics of a job: from metrics.json, JSON lines and TensorBoard event files of its output, or from its stdout."""

from __future__ import annotations

import re
from typing import Any

from knack.log import get_logger

from azext_batchai.formats.metrics import Metrics, add, is_known, of_file, of_text
from azext_batchai.jobs.ranks import STDOUT, file_of, ranks
from azext_batchai.jobs.transfer import content_of, files_below

logger = get_logger(__name__)

_LARGEST = 512 << 20  # bytes of a file that is read
STDOUTERR = "stdouterr"


def compiled(pattern: str | None) -> re.Pattern[str] | None:
    """Raises InvalidArgumentValueError for what is no expression or names no metric."""
    if pattern is None:
        return None
    from azure.cli.core.azclierror import InvalidArgumentValueError

    advice = "Write, say, --pattern 'loss (?P<loss>[0-9.]+)'."
    try:
        made = re.compile(pattern)
    except re.error as error:
        raise InvalidArgumentValueError(
            f"--pattern '{pattern}' is no regular expression: {error}.", recommendation=advice
        ) from error
    if not made.groupindex:
        raise InvalidArgumentValueError(f"--pattern '{pattern}' has no named group.", recommendation=advice)
    return made


def of_job(client: Any, names: tuple[str, ...], job: Any, pattern: re.Pattern[str] | None = None) -> Metrics:
    """The metrics of a job (SDK); `names`: of resource group, workspace, experiment and job.

    With a pattern from its stdout, of the first rank, else from its output directories and the folder of stdout.
    """
    found: Metrics = {}
    if pattern:
        name = file_of(STDOUT, ranks(job)[0])
        for data in _contents(client, names, job, STDOUTERR, lambda path: path == name).values():
            add(found, of_text(data.decode("utf-8", "replace"), pattern))
        return found
    for directory in [STDOUTERR, *(entry.id for entry in job.output_directories or [])]:
        for path, data in _contents(client, names, job, directory, is_known).items():
            add(found, of_file(path, data))
    for series in found.values():
        series.points.sort(key=lambda point: point[0])
    return found


def _contents(client: Any, names: tuple[str, ...], job: Any, directory: str, wanted: Any) -> dict[str, bytes]:
    from azure.core.exceptions import HttpResponseError
    from azure.mgmt.batchai import models

    def listing(folder: str) -> list[Any]:
        options = models.JobsListOutputFilesOptions(outputdirectoryid=directory, directory=folder)
        return list(client.jobs.list_output_files(*names, options))

    found = {}
    try:
        for path, entry in files_below(listing):
            if wanted(path):
                data = content_of(listing, lambda: job, path, entry, _LARGEST)
                if data is None:
                    logger.warning("%s of job %s is too large to be read.", path, job.name)
                else:
                    found[path] = data
    except HttpResponseError as error:
        if error.status_code != 400:  # a folder that is on no share or container cannot be listed
            raise
        logger.warning("Output %s of job %s cannot be listed: %s", directory, job.name, error.message)
    return found
