"""The folder of a job's code, copied to the share: every version once, and of each only what has changed."""

from __future__ import annotations

# pylint: disable=too-many-positional-arguments
import hashlib
import io
import json
import os
import posixpath
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from azext_batchai.jobs import ignore
from azext_batchai.jobs.transfer import Sender, Tally
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

    Returns where it is, relative to `place`. A version that was copied before is not copied again, nor is a file that
    the version before had. Raises FileOperationError, and AzureResponseError where the account refuses.
    """
    if not folder.is_dir():
        _refuse(f"{folder} is no folder.")
    top = folder.resolve()
    key = hashlib.sha256(os.fsencode(top)).hexdigest()[:8]
    name = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in top.name) or "root"
    where = f"{FOLDER}/{name}-{key}"
    sender = None if place.local else Sender(place, tally)
    manifest = f"{where}/{_MANIFEST}"
    before = _manifest(sender.read(manifest) if sender else _read(place.local / manifest))
    try:
        # The times in a share that several machines write to prove nothing.
        files = _scan(top, {} if sender else before)
    except OSError as error:
        _refuse(f"{error.filename} cannot be read: {error.strerror}.")
    version = f"{where}/{_digest(files)}"
    if sender:
        _send(top, files, sender, version, before, tally)
        sender.put(manifest, io.BytesIO(_manifest_of(version, files)))
    else:
        _copy(top, files, place.local / version, before, tally)
        part = place.local / where / f".{_MANIFEST}.{os.getpid()}"
        part.write_bytes(_manifest_of(version, files))
        part.replace(place.local / manifest)
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


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _manifest(content: bytes) -> dict[str, Any]:
    """What the last version has; {} where that is not known."""
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) and isinstance(found.get("files"), dict) else {}


def _manifest_of(version: str, files: Files) -> bytes:
    listed = {path: [file.size, file.modified, file.digest, file.executable] for path, file in files.items()}
    return json.dumps({"version": posixpath.basename(version), "files": listed}).encode()


def _send(top: Path, files: Files, sender: Sender, version: str, before: dict[str, Any], tally: Tally) -> None:
    """Make a version elsewhere; what the version before has as well is copied there, without coming from here."""
    earlier, known = str(before.get("version", "")), before.get("files", {})
    # Only of a version that came over as a whole sizes say that a file is there.
    is_whole, sizes = earlier == posixpath.basename(version), dict[str, dict[str, int]]()
    for path, file in files.items():
        folder, name = posixpath.split(f"{version}/{path}")
        tally.begin(path, file.size)
        if is_whole and folder not in sizes:
            sizes[folder] = sender.sizes(folder)
        if is_whole:
            is_there = sizes[folder].get(name) == file.size
        else:
            is_known = known.get(path, [])[2:] == [file.digest, file.executable]
            is_there = is_known and sender.copy(f"{posixpath.dirname(version)}/{earlier}/{path}", f"{version}/{path}")
        sent = not is_there and sender.send(top / path, f"{version}/{path}", file.executable)
        tally.copied += sent
        tally.kept += not sent


def _refuse(message: str) -> None:
    from azure.cli.core.azclierror import FileOperationError

    raise FileOperationError(message, recommendation="Check the folder given with --source.")
