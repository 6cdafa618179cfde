"""The variables of a job's processes and the folders that they name (wire.md 5.3, 5.4), whatever the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from azext_batchai.service.engine.base import JobPlan, TaskError


@dataclass(frozen=True)
class Folders:
    """Paths of a job's own folders on one node; `shared` is the one that all its nodes see."""

    root: str
    shared: str

    @property
    def work(self) -> str:
        return f"{self.root}/wd"

    @property
    def mounts(self) -> str:
        return f"{self.root}/mounts"

    @property
    def temp(self) -> str:
        return f"{self.root}/temp"


def folder_of(plan: JobPlan) -> str:
    """A job's folder in a node's own."""
    return f"jobs/{plan.workspace}/{plan.experiment}/{plan.name}"


def own_variables(plan: JobPlan, folders: Folders) -> dict[str, str]:
    """What needs no folder of output. The last two are Azure Machine Learning's, which scripts still read."""
    return {
        "AZ_BATCHAI_JOB_NAME": plan.name,
        "AZ_BATCHAI_JOB_MOUNT_ROOT": folders.mounts,
        "AZ_BATCHAI_JOB_TEMP": folders.temp,
        "AZ_BATCHAI_JOB_TEMP_DIR": folders.root.rpartition("/")[0],
        "AZ_BATCHAI_SHARED_JOB_TEMP": folders.shared,
        "AZ_BATCHAI_JOB_MASTER_NODE_IP": plan.addresses[0],
        "AZ_BATCHAI_NODE_LIST": ";".join(plan.addresses),
    }


@dataclass(frozen=True)
class OutputFolder:
    """A folder that output goes to: `base` is the path of the user's, `path` that of the job's own below it."""

    identifier: str
    variable: str
    what: str
    prefix: str
    base: str
    path: str


def output_folders(plan: JobPlan, expand: Callable[[str], str]) -> Iterator[OutputFolder]:
    """Where output goes, the standard streams' folder first; `expand` replaces variables and documented paths.

    Raises TaskError for a path that cannot be one.
    """
    yield OutputFolder(
        "stdouterr",
        "AZ_BATCHAI_STDOUTERR_DIR",
        *_output(plan, "stdOutErrPathPrefix", plan.output_prefix, "stdouterr", expand),
    )
    for identifier, prefix, suffix in plan.directories:
        what = f"outputDirectories {identifier}"
        if ".." in PurePosixPath(suffix).parts:
            raise wrong_path(what, suffix, "it must not contain '..'")
        inside = f"outputs/{suffix.lstrip('/')}"
        yield OutputFolder(
            identifier, f"AZ_BATCHAI_OUTPUT_{identifier}", *_output(plan, what, prefix, inside, expand)
        )


def _output(
    plan: JobPlan, what: str, prefix: str, inside: str, expand: Callable[[str], str]
) -> tuple[str, str, str, str]:
    base = expand(prefix)
    if not base.startswith("/"):
        raise wrong_path(what, prefix, "it must be an absolute path or start with a mount root variable")
    return what, prefix, str(Path(base)), str(Path(f"{base}/{plan.output_segment}/{inside}"))


def input_variables(plan: JobPlan, expand: Callable[[str], str]) -> Mapping[str, str]:
    return {f"AZ_BATCHAI_INPUT_{identifier}": expand(path) for identifier, path in plan.inputs}


def wrong_path(what: str, path: str, reason: str) -> TaskError:
    return TaskError("InvalidPath", f"The path of {what} cannot be used", {"Path": path, "Info": reason})
