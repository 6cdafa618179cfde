"""az batchai job file stream: every byte once, in order, to the end, and no secret told."""

import os
import signal
import sys
import threading
import time

import pytest

from extension.growing_file import SECRET, GrowingFile
from extension.jobs import IN_EXPERIMENT, JOB, JOB_NOT_FOUND, job
from extension.scripted import Answer, Request
from harness.az import start_process

STREAM = ("batchai", "job", "file", "stream", *IN_EXPERIMENT, "-j", "j", "-f", "stdout.txt")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("azext_batchai.custom.job_file._REMOTE_INTERVAL", 0.01)


@pytest.fixture(autouse=True)
def downloads_need_no_token(server):
    server.open_paths.add("/file")


def test_a_growing_file(az, server):
    file = GrowingFile(server, b"", b"one\n", b"one\ntwo\n", b"one\ntwo\n", b"one\ntwo\nthree\n")
    done = az(*STREAM)
    assert (done.code, done.output, done.stderr) == (0, "one\ntwo\nthree\n", "")
    assert file.ranges[:3] == ["bytes=0-", "bytes=0-", "bytes=4-"]
    assert file.listings == 2, "found once, and read with one URL"


def test_the_end_is_read_after_the_final_state(az, server):
    """The built-in module asked for the state last, and lost what came between its last read and the end."""
    GrowingFile(server, b"almost", b"almost all")
    assert az(*STREAM).output == "almost all"


def test_characters_cut_in_two(az, server):
    text = "né 日本 🙂\n".encode()
    GrowingFile(server, *(text[: n + 1] for n in range(len(text))))
    assert az(*STREAM).output == text.decode()


def test_output_that_is_not_utf8(server, tmp_path):
    """A console of another encoding gets the text, not the bytes."""
    from azext_batchai.jobs.stream import Output

    path = tmp_path / "out"
    with path.open("w", encoding="latin-1") as stdout:
        output = Output(stdout)
        for byte in "né日".encode():
            output.write(bytes([byte]))
        output.close()
    assert path.read_bytes() == b"n\xe9?"


def test_server_without_ranges(az, server):
    file = GrowingFile(server, b"one", b"onetwo", b"onetwothree")
    file.honours_ranges = False
    assert az(*STREAM).output == "onetwothree"


def test_expired_url_is_renewed(az, server):
    file = GrowingFile(server, b"all", b"all of it")
    file.faults = [Answer(403)]
    assert az(*STREAM).output == "all of it"
    assert file.listings == 3


def test_url_is_renewed_before_it_expires(az, server, monkeypatch):
    monkeypatch.setattr("azext_batchai.jobs.stream._URL_SECONDS", 0)
    file = GrowingFile(server, b"a", b"ab", b"abc")
    assert az(*STREAM).output == "abc"
    assert file.listings == 1 + file.downloads


def test_server_faults_are_outlived(az, server):
    file = GrowingFile(server, b"all", b"all of it")
    file.faults = [Answer(500), Answer(503)]
    assert az(*STREAM).output == "all of it"


def test_server_that_stays_broken(az, server, monkeypatch):
    monkeypatch.setattr("azext_batchai.jobs.stream._PATIENCE_SECONDS", 0.2)
    GrowingFile(server, b"all").faults = [Answer(500)] * 1000
    done = az(*STREAM)
    assert done.code == 1
    assert "stdout.txt cannot be downloaded" in done.stderr
    assert SECRET not in done.stderr


def test_unreachable_file_server(az, server, monkeypatch):
    monkeypatch.setattr("azext_batchai.jobs.stream._PATIENCE_SECONDS", 0.2)
    url = f"http://127.0.0.1:9/file?{SECRET}"
    server.on("GET", JOB, job("running"))
    listing = {"value": [{"name": "stdout.txt", "fileType": "file", "downloadUrl": url, "properties": {}}]}
    server.on("POST", f"{JOB}/listOutputFiles", Answer(200, listing))
    done = az(*STREAM, "--verbose")
    assert done.code == 1
    assert SECRET not in done.stderr + done.output


def test_file_server_that_moves(az, server):
    """A restarted embedded service has another port."""
    file = GrowingFile(server, b"all", b"all of it")
    there = server.routes["POST", f"{JOB}/listOutputFiles"]

    def listing(request: Request) -> Answer:
        answer = there(request)
        if file.listings == 2:  # the one that reading begins with
            answer.body["value"][1]["downloadUrl"] = f"http://127.0.0.1:9/file?{SECRET}"
        return answer

    server.on("POST", f"{JOB}/listOutputFiles", listing)
    assert az(*STREAM).output == "all of it"
    assert file.listings == 3


def test_waits_for_the_file(az, server):
    GrowingFile(server, b"x", b"x")
    there = server.routes["POST", f"{JOB}/listOutputFiles"]
    folder_missing = Answer(404, {"error": {"code": "DirectoryNotFound", "message": "m"}})
    answers = [lambda _: Answer(200, {"value": []}), lambda _: folder_missing]
    server.on("POST", f"{JOB}/listOutputFiles", lambda r: (answers.pop(0) if answers else there)(r))
    done = az(*STREAM)
    assert done.output == "x"
    assert done.stderr == "WARNING: Waiting for the job to write stdout.txt ...\n"


def test_file_that_never_came(az, server):
    server.on("GET", JOB, job("failed", 1))
    server.on("POST", f"{JOB}/listOutputFiles", Answer(200, {"value": []}))
    done = az(*STREAM)
    assert done.code == 3
    assert "ended without writing stdout.txt" in done.stderr


@pytest.mark.parametrize("path", [JOB, f"{JOB}/listOutputFiles"])
def test_job_that_is_not_there(az, server, path):
    server.on("GET", JOB, job("running"))
    server.on("POST", f"{JOB}/listOutputFiles", JOB_NOT_FOUND)
    server.on("GET" if path == JOB else "POST", path, JOB_NOT_FOUND)
    assert az(*STREAM).code == 3


def test_options_go_into_the_request(az, server):
    GrowingFile(server, b"x")
    az(*STREAM, "-d", "OUT", "-p", "sub/folder")
    listing = next(r for r in server.requests if r.method == "POST")
    assert listing.query == {
        "outputdirectoryid": "OUT",
        "directory": "sub/folder",
        "linkexpiryinminutes": "60",
        "maxresults": "1000",
        "api-version": "2018-05-01",
    }


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")
def test_interrupted(server):
    GrowingFile(server, *([b"line\n"] * 10_000))
    process = start_process(*STREAM)
    assert process.stdout.readline() == "line\n"
    os.kill(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert stderr == "WARNING: No longer following the file; the job goes on.\n"


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break differently there")
def test_reader_that_has_seen_enough(server):
    shapes = [b"line\n" * n for n in range(1, 2000)]
    GrowingFile(server, *shapes)
    process = start_process(*STREAM)
    assert process.stdout.readline() == "line\n"
    process.stdout.close()
    assert process.wait(timeout=30) == 141
    assert process.stderr.read() == ""
    process.stderr.close()


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads the memory of a process from /proc")
def test_memory_stays_constant(server):
    size = 200 * 1024 * 1024
    file = GrowingFile(server, b"x" * size, b"x" * size)
    peak = 0
    process = start_process(*STREAM)
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.is_set():
            try:
                with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
                    lines = dict(line.split(":", 1) for line in status)
                peak = max(peak, int(lines.get("VmHWM", "0").split()[0]))
            except OSError:
                return
            time.sleep(0.05)

    watcher = threading.Thread(target=watch)
    watcher.start()
    read = 0
    while chunk := process.stdout.buffer.read(1 << 20):
        read += len(chunk)
    assert process.wait(timeout=60) == 0
    done.set()
    watcher.join()
    process.stdout.close()
    process.stderr.close()
    assert read == size
    assert peak < 150 * 1024, f"{peak} KiB"
    assert file.downloads
