"""The folder of a job's code, copied to the share: every version once, and of each only what has changed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from azext_batchai.jobs import ignore
from azext_batchai.jobs.transfer import Tally, upload
from azext_batchai.storage.places import Place

FOLDER = "sources"  # in the share
_MANIFEST = "latest.json"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class File:
    """A file of a version. `modified` in nanoseconds; `digest` of its content."""

    size: int
    modified: int
    digest: str
    executable: bool


Files = dict[str, File]


def copy(folder: Path, place: Place, tally: Tally) -> str:
    """Copy a folder below `place`, without what .gitignore and .batchaiignore leave out.

    Returns where it is, relative to `place`. A version that was copied before is not copied again, nor is, on a share
    of this machine, a file that the version before had. Raises FileOperationError.
    """
    if not folder.is_dir():
        _refuse(f"{folder} is no folder.")
    top = folder.resolve()
    key = hashlib.sha256(os.fsencode(top)).hexdigest()[:8]
    name = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in top.name) or "root"
    where = f"{FOLDER}/{name}-{key}"
    before = _read_manifest(place.local / where) if place.local else {}
    try:
        files = _scan(top, before)
    except OSError as error:
        _refuse(f"{error.filename} cannot be read: {error.strerror}.")
    version = f"{where}/{_digest(files)}"
    if place.local:
        _copy(top, files, place.local / version, before, tally)
        _write_manifest(place.local / where, version.rpartition("/")[2], files)
    else:
        _upload(top, files, place, version, tally)
    return version


def _scan(top: Path, before: dict[str, Any]) -> Files:
    """All files with their digests; one that has the size and time that it had before is not read again."""
    known: dict[str, list[Any]] = before.get("files", {})
    found = {}
    for path in ignore.files_of(top):
        status = (top / path).stat()
        digest = known[path][2] if known.get(path, [])[:2] == [status.st_size, status.st_mtime_ns] else None
        executable = bool(status.st_mode & stat.S_IXUSR)
        found[path] = File(status.st_size, status.st_mtime_ns, digest or _content(top / path), executable)
    return found


def _content(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _digest(files: Files) -> str:
    text = json.dumps([[path, file.digest, file.executable] for path, file in sorted(files.items())])
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def _copy(top: Path, files: Files, target: Path, before: dict[str, Any], tally: Tally) -> None:
    """Make a version on this machine; what the version before has as well is linked, and no job can write to it."""
    earlier = target.parent / str(before.get("version", ""))
    known = before.get("files", {}) if before else {}
    for path, file in files.items():
        place = target / path
        tally.begin(path, file.size)
        if _is_intact(place, file):
            tally.kept += 1
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_name(f".{place.name}.{os.getpid()}.part")
        old = earlier / path
        if known.get(path) == [file.size, file.modified, file.digest, file.executable] and _is_intact(old, file):
            os.link(old, part)
            tally.kept += 1
        else:
            shutil.copy2(top / path, part)
            part.chmod(0o555 if file.executable else 0o444)
            tally.add(file.size)
            tally.copied += 1
        part.replace(place)
    target.mkdir(parents=True, exist_ok=True)  # of an empty folder


def _is_intact(place: Path, file: File) -> bool:
    try:
        status = place.stat()
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (file.size, file.modified)


def _read_manifest(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and isinstance(found.get("files"), dict) else {}


def _write_manifest(folder: Path, version: str, files: Files) -> None:
    listed = {path: [file.size, file.modified, file.digest, file.executable] for path, file in files.items()}
    part = folder / f".{_MANIFEST}.{os.getpid()}"
    part.write_text(json.dumps({"version": version, "files": listed}), encoding="utf-8")
    part.replace(folder / _MANIFEST)


def _upload(top: Path, files: Files, place: Place, version: str, tally: Tally) -> None:
    """Send a version over the network. A file of a version never changes: one that has its size is there."""
    for path in files:
        folder = f"{place.path}/{version}/{os.path.dirname(path)}".strip("/")
        upload(top / path, Place(place.folder, folder), tally)


def _refuse(message: str) -> None:
    from azure.cli.core.azclierror import FileOperationError

    raise FileOperationError(message, recommendation="Check the folder given with --source.")
