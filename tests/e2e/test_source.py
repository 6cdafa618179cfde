"""az batchai job run --source and --download: a job in a copy of a folder, what it wrote brought back."""

import contextlib
import json
import os
import pty
from pathlib import Path

import pytest

from harness import az
from harness.cluster import ok
from harness.service import Service

pytestmark = pytest.mark.invented
IN_LAB = ("-g", "research", "-w", "lab", "-e", "exp")
SCRIPT = """
import json, os, sys
print(open("lib/word.txt").read(), sorted(os.listdir(".")), os.getcwd())
with open(os.environ["AZ_BATCHAI_OUTPUT_RESULTS"] + "/metrics.json", "w") as file:
    json.dump({"loss": 1}, file)
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "my code"
    (folder / "lib").mkdir(parents=True)
    (folder / "data").mkdir()
    (folder / "train.py").write_text(SCRIPT)
    (folder / "lib" / "word.txt").write_text("one")
    (folder / "data" / "large.bin").write_text("not needed")
    (folder / ".gitignore").write_text("data/\n")
    (folder / "run.sh").write_text("#!/bin/sh\necho ran\n")
    (folder / "run.sh").chmod(0o755)
    return folder


def run(*words: str) -> az.Outcome:
    return az.run_process("batchai", "job", "run", *IN_LAB, "-c", "mycluster", *words)


def copies(service: Service) -> list[Path]:
    return sorted(path for path in service.home.glob("storage/*/files/batchaishare/sources/*/*") if path.is_dir())


def remote(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go to the same service as to any other endpoint: its folders are not seen, only its storage over REST is."""
    monkeypatch.setenv("AZURE_BATCHAI_ENDPOINT", service.info["endpoint"])
    monkeypatch.setenv("AZURE_BATCHAI_TOKEN", service.info["token"])
    monkeypatch.setenv("AZURE_BATCHAI_SUBSCRIPTION", service.info["subscription"])


def test_a_job_runs_in_a_copy_of_a_folder(trainers: str, service: Service, code: Path, tmp_path: Path) -> None:
    before = copies(service)
    command = ("--source", str(code), "--download", str(tmp_path / "out"), "--", "python3", "train.py", "5")
    first = run("-n", "one", *command)
    assert first.code == 5, first.stderr
    [copy] = [path for path in copies(service) if path not in before]
    assert first.output == f"one ['.gitignore', 'lib', 'run.sh', 'train.py'] {copy}\n"
    assert json.loads((tmp_path / "out" / "RESULTS" / "metrics.json").read_text()) == {"loss": 1}
    assert (tmp_path / "out" / "stdout.txt").read_text() == first.output
    inode = (copy / "train.py").stat().st_ino
    assert run("-n", "same", *command).code == 5
    assert [path for path in copies(service) if path not in before] == [copy]

    (code / "lib" / "word.txt").write_text("two")
    (code / "run.sh").unlink()
    changed = run("-n", "changed", *command)
    [other] = [path for path in copies(service) if path not in (*before, copy)]
    assert changed.output == f"two ['.gitignore', 'lib', 'train.py'] {other}\n"
    assert (other / "train.py").stat().st_ino == inode, "what has not changed was copied again"
    assert (copy / "lib" / "word.txt").read_text() == "one", "an earlier job's copy has changed"
    assert not os.stat(other / "train.py").st_mode & 0o222


def test_scripts_are_executable_and_ranks_begin_in_the_copy(trainers: str, code: Path) -> None:
    done = run("--source", str(code), "--", "./run.sh && ls data")
    assert (done.code != 0, done.output) == (True, "ran\n")
    (code / "rank.py").write_text("import os; print(os.environ['RANK'], open('lib/word.txt').read())")
    ranks = run("--source", str(code), "--processes", "2", "--", "python3", "rank.py")
    assert sorted(ranks.output.splitlines()) == ["[0] 0 one", "[1] 1 one"], ranks.stderr


def test_over_the_network(trainers: str, service: Service, code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remote(service, monkeypatch)
    before = copies(service)
    done = run("--source", str(code), "--", "cat lib/word.txt")
    assert done.output == "one", done.stderr
    [copy] = [path for path in copies(service) if path not in before]
    moments = {path: path.stat().st_mtime_ns for path in copy.rglob("*") if path.is_file()}
    assert len(moments) == 4
    assert run("--source", str(code), "--", "cat lib/word.txt; ./run.sh").output == "oneran\n"
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*") if path.is_file()} == moments


def test_a_sweep_in_a_copy(trainers: str, code: Path) -> None:
    words = ("--source", str(code), "--param", "n=1,2", "-n", "of-{n}", "--", "cat lib/word.txt; echo {n}")
    made = az.run("batchai", "job", "sweep", *IN_LAB, "-c", "mycluster", *words)
    assert made.code == 0, made.stderr
    assert az.run("batchai", "job", "logs", *IN_LAB, "-n", "of-2", "--follow").output == "one2\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--source", "/nowhere/at/all"), "is no folder"),
        (("--download", "x", "--detach"), "--detach does not wait"),
    ],
)
def test_what_cannot_be(trainers: str, words: tuple[str, ...], said: str) -> None:
    refused = run(*words, "--", "true")
    assert refused.code == 1
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr


def test_files_to_and_from_a_job(
    trainers: str, service: Service, submit, code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = "$AZ_BATCHAI_MOUNT_ROOT/autoafs"
    line = (
        "cd $AZ_BATCHAI_OUTPUT_MODEL; mkdir -p a/b; head -c 9000000 /dev/zero > a/b/large; echo small > top; echo out"
    )
    submit("files", line, outputDirectories=[{"id": "MODEL", "pathPrefix": output}])
    job = (*IN_LAB, "-j", "files")
    az.run("batchai", "job", "wait", *IN_LAB, "-n", "files")
    to = tmp_path / "to"
    download = ("batchai", "job", "file", "download", *job, "--dest", str(to), "-d", "MODEL")
    first = ok(az.run(*download))
    assert first == {"folder": str(to), "copied": 2, "bytes": 9000006, "unchanged": 0}
    assert ok(az.run(*download))["unchanged"] == 2

    large = to / "a" / "b" / "large"
    part = large.with_name(f"large.{int(large.stat().st_mtime)}.part")
    os.truncate(large, 4_000_000)
    large.rename(part)
    assert ok(az.run(*download))["bytes"] == 5_000_000, "it did not go on where it stopped"
    assert large.read_bytes() == bytes(9_000_000)
    assert not part.exists()
    assert ok(az.run(*download, "-p", "a"))["copied"] == 1
    assert (to / "b" / "large").exists()

    upload = ("batchai", "job", "file", "upload", *job, "-d", "MODEL", "--source", str(code))
    for path in filter(Path.is_file, code.rglob("*")):  # older than what REST writes now: only that has another time
        os.utime(path, (1_500_000_000, 1_500_000_000))
    for where in ("", "remote"):
        if where:
            remote(service, monkeypatch)
        assert ok(az.run(*upload, "-p", f"code{where}"))["copied"] == 5
        assert ok(az.run(*upload, "-p", f"code{where}"))["unchanged"] == 5
        again = ok(az.run(*download, "-p", f"code{where}"))
        assert again["copied"] == 5
        assert (to / "lib" / "word.txt").read_text() == "one"
        (to / "lib" / "word.txt").unlink()
    for words in (("-d", "NONE"), ("-p", "../x"), ("--source", "/nowhere")):
        refused = az.run(*upload, *words)
        assert refused.code == 1, words
        assert "Traceback" not in refused.stderr


def test_a_person_is_told_where_files_are(trainers: str, submit) -> None:
    submit("listed", "echo x")
    az.run("batchai", "job", "wait", *IN_LAB, "-n", "listed")
    ours, terminal = pty.openpty()
    process = az.start_process("batchai", "job", "file", "list", *IN_LAB, "-j", "listed", stderr=terminal)
    os.close(terminal)
    found = json.loads(process.communicate(timeout=60)[0])
    said = os.read(ours, 4096).decode()
    os.close(ours)
    folder = Path(said.partition("These files are in ")[2].split("\r")[0])
    assert sorted(path.name for path in folder.iterdir()) == [file["name"] for file in found]


def test_a_person_sees_how_far_it_is(trainers: str, submit, tmp_path: Path) -> None:
    submit("shown", "head -c 3000000 /dev/zero")
    az.run("batchai", "job", "wait", *IN_LAB, "-n", "shown")
    ours, terminal = pty.openpty()
    words = ("batchai", "job", "file", "download", *IN_LAB, "-j", "shown", "--dest", str(tmp_path / "to"))
    process = az.start_process(*words, stdout=-3, stderr=terminal, env={"COLUMNS": "70"})
    os.close(terminal)
    seen = b""
    with contextlib.suppress(OSError):  # how Linux says that the other side is closed
        while chunk := os.read(ours, 4096):
            seen += chunk
    os.close(ours)
    assert process.wait(30) == 0
    lines = seen.decode().split("\r\x1b[K")
    assert any("[####################] stdout.txt" in line for line in lines)
    assert all(len(line) <= 70 for line in lines[:-1])
    assert lines[-1].startswith("WARNING: ")


@pytest.mark.parametrize("over_the_network", [False, True])
def test_files_to_a_cluster(
    trainers: str, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, over_the_network: bool
) -> None:
    if over_the_network:
        remote(service, monkeypatch)
    content = os.urandom((4 << 20) + 17)
    (tmp_path / "large.bin").write_bytes(content)
    upload = ("batchai", "cluster", "file", "upload", *IN_LAB[:4], "-c", "mycluster", "--source")
    for kind, mount, name in (("files", "autoafs", "batchaishare"), ("blobs", "autobfs", "batchaicontainer")):
        to = f"{mount}/new {over_the_network}/data"
        assert ok(az.run(*upload, str(tmp_path / "large.bin"), "-p", to))["bytes"] == len(content)
        [found] = service.home.glob(f"storage/*/{kind}/{name}/new {over_the_network}/data/large.bin")
        assert found.read_bytes() == content
        os.truncate(found, 4 << 20)  # as an upload that was cut off leaves it
        assert ok(az.run(*upload, str(tmp_path), "-p", to))["copied"] == 1
        assert found.read_bytes() == content
    refused = az.run(*upload, str(tmp_path), "-p", "nowhere/x")
    assert refused.code == 1
    assert "It mounts autoafs, autobfs." in refused.stderr
