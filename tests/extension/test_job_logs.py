"""az batchai job logs: all ranks at once, by whole lines, every byte once."""

import os
import pty
import signal
import subprocess
import time

import pytest

from extension.jobs import IN_EXPERIMENT, JOB, JOB_NOT_FOUND, job
from extension.scripted import Answer, Request
from harness.az import command, start_process

LOGS = ("batchai", "job", "logs", *IN_EXPERIMENT, "-n", "j")
FOLLOW = (*LOGS, "--follow")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("azext_batchai.jobs.logs._REMOTE_INTERVAL", 0.01)


class Ranks:
    """A job of several ranks whose files take their next shapes with each listing; it ends with the last but one."""

    def __init__(self, server, shapes: list[dict[str, bytes]], tool_type: str = "pytorch", **properties) -> None:
        self.server, self.shapes, self.tool_type, self.properties = server, shapes, tool_type, properties
        self.looks = -1
        self.ranges: list[str] = []
        self.final = "succeeded"
        self.fault: Answer | None = None
        self.modified = ""
        server.on("GET", JOB, lambda _: self.job())
        server.on("POST", f"{JOB}/listOutputFiles", self._list)
        for name in {name for shape in shapes for name in shape}:
            server.open_paths.add(f"/{name}")
            server.on("GET", f"/{name}", self._download)

    @property
    def shape(self) -> dict[str, bytes]:
        return self.shapes[min(max(self.looks, 0), len(self.shapes) - 1)]

    def job(self) -> Answer:
        answer = job("running" if self.looks < len(self.shapes) - 2 else self.final, 0)
        answer.body["properties"] |= {"toolType": self.tool_type, **self.properties}
        return answer

    def _list(self, _: Request) -> Answer:
        self.looks += 1
        return Answer(200, {"value": [self._file(name, content) for name, content in self.shape.items()]})

    def _file(self, name: str, content: bytes) -> dict:
        url = f"{self.server.url}/{name}?sig=THE-SECRET"
        properties = {"contentLength": len(content), **({"lastModified": self.modified} if self.modified else {})}
        return {"name": name, "fileType": "file", "downloadUrl": url, "properties": properties}

    def _download(self, request: Request) -> Answer:
        if self.fault:
            fault, self.fault = self.fault, None
            return fault
        content = self.shape[request.path[1:]]
        self.ranges.append(request.headers["range"])
        start = int(request.headers["range"].removeprefix("bytes=").removesuffix("-"))
        return Answer(206, content[start:]) if start < len(content) else Answer(416)


def test_all_ranks_by_whole_lines(az, server):
    Ranks(
        server,
        [
            {"stdout-0.txt": b"a0 begins", "execution.log": b"no output"},
            {"stdout-0.txt": b"a0 begins and ends\na1", "stdout-1.txt": b"b0\n", "stdout-job_prep.txt": b"prep\n"},
            {"stdout-0.txt": b"a0 begins and ends\na1\n", "stdout-1.txt": b"b0\n\nb1 without an end"},
        ],
    )
    done = az(*FOLLOW)
    assert (done.code, done.stderr) == (0, "")
    assert done.output == "[0] a0 begins and ends\n[1] b0\n[0] a1\n[1] \n[1] b1 without an end\n"


def test_what_has_not_grown_is_not_asked_for(az, server):
    files = Ranks(server, [{"stdout-0.txt": b"same\n", "stdout-1.txt": b""}] * 20)
    assert az(*FOLLOW).output == "[0] same\n"
    assert len(files.ranges) == 4, "each once, and once more at the end"


@pytest.mark.parametrize(
    ("options", "output"),
    [
        (("--rank", "1"), "b\n"),
        (("--rank", "0,2"), "[0] a\n[2] c\n"),
        (("--stderr",), "[0] x\n"),
        (("--tail", "0"), ""),
    ],
)
def test_choices(az, server, options, output):
    shape = {"stdout-0.txt": b"a\n", "stdout-1.txt": b"b\n", "stdout-2.txt": b"c\n", "stderr-0.txt": b"x\n"}
    Ranks(server, [shape], nodeCount=3)
    done = az(*LOGS, *options)
    assert (done.code, done.output) == (0, output)


def test_a_rank_that_is_not_there(az, server):
    Ranks(server, [{"stdout-0.txt": b"a\n"}], nodeCount=2)
    done = az(*LOGS, "--rank", "7")
    assert done.code == 1
    assert "It has the ranks 0, 1." in done.stderr


def test_one_file_has_no_prefix(az, server):
    Ranks(server, [{"stdout.txt": b"exactly\r\nthis"}], "custom")
    assert az(*LOGS).output == "exactly\r\nthis"


def test_tensorflow(az, server):
    shape = {"stdout-wk-0.txt": b"m\n", "stdout-wk-1.txt": b"w\n", "stdout-ps-0.txt": b"p\n"}
    Ranks(server, [shape], "tensorflow", tensorFlowSettings={"pythonScriptFilePath": "a.py"})
    assert az(*LOGS).output == "[wk-0] m\n[wk-1] w\n[ps-0] p\n"
    assert az(*LOGS, "--rank", "1").output == "w\n"


def test_progress_bars(az, server):
    Ranks(server, [{"stdout-0.txt": b"\r 1%\r 2%\r 3%\nnext\r\n"}])
    assert az(*LOGS).output == "[0]  1%\n[0]  2%\n[0]  3%\n[0] next\n"


@pytest.mark.parametrize("lines", [5, 500, 50_000])
def test_tail(az, server, lines):
    """Of a long file only the end is read."""
    text = "".join(f"line {number}\n" for number in range(lines))
    files = Ranks(server, [{"stdout-0.txt": text.encode(), "stdout-1.txt": b"short"}])
    last = "".join(f"[0] line {number}\n" for number in range(lines)[-3:])
    assert az(*LOGS, "--tail", "3").output == f"{last}[1] short\n"
    assert (int(files.ranges[0][6:-1]) > 0) == (lines == 50_000)


def test_tail_of_lines_longer_than_usual(az, server):
    text = b"x" * 300_000 + b"\n" + b"y" * 300_000 + b"\n"
    Ranks(server, [{"stdout.txt": b"first\n" + text}], "custom")
    assert az(*LOGS, "--tail", "2").output.encode() == text


def test_tail_goes_on(az, server):
    Ranks(server, [{"stdout.txt": b"1\n2\n3\n"}, {"stdout.txt": b"1\n2\n3\n4\n"}], "custom")
    assert az(*FOLLOW, "--tail", "1").output == "3\n4\n"


STAMPED = (
    b"begin\n2026-01-01 00:00:00,123 one\n more\n[2026-01-01T01:00:00Z] two\n more\n"
    b"INFO: 2026-01-01T03:30:00.5+02:00 three\n"
)


@pytest.mark.parametrize(
    ("since", "shown"),
    [
        ("2025-12-31T00:00Z", STAMPED.partition(b"begin\n")[2]),
        ("2026-01-01T00:30Z", STAMPED[STAMPED.index(b"[2026") :]),
        ("2026-01-01T01:00:00Z", STAMPED[STAMPED.index(b"[2026") :]),
        ("2026-01-01T01:10Z", STAMPED[STAMPED.index(b"INFO") :]),
        ("2026-01-01T02:00Z", b""),
        ("5m", b""),
    ],
)
def test_since(az, server, monkeypatch, since, shown):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    Ranks(server, [{"stdout.txt": STAMPED}], "custom")
    assert az(*LOGS, "--since", since).output.encode() == shown
    lines = shown.splitlines(keepends=True)
    assert az(*LOGS, "--since", since, "--tail", "2").output.encode() == b"".join(lines[-2:])


def test_since_goes_on(az, server):
    more = STAMPED + b"no time\n"
    Ranks(server, [{"stdout.txt": STAMPED}, {"stdout.txt": more}, {"stdout.txt": more}], "custom")
    assert az(*FOLLOW, "--since", "5m").output == "no time\n"


def test_since_of_lines_without_times(az, server):
    files = Ranks(server, [{"stdout.txt": b"a\nb\n"}], "custom")
    done = az(*LOGS, "--since", "5m")
    assert done.output == "a\nb\n"
    assert "begin with no time" in done.stderr
    files.modified = "2026-01-01T00:00:00Z"
    assert az(*LOGS, "--since", "5m").output == "", "nobody has written to the file since"
    assert az(*LOGS, "--since", "2025-01-01").output == "a\nb\n"


@pytest.mark.parametrize("text", ["soon", "", "5x", "99999999999d"])
def test_what_is_no_moment(az, server, text):
    assert az(*LOGS, f"--since={text}").code == 2


def test_timestamps(az, server):
    old, new = {"stdout.txt": b"old\n"}, {"stdout.txt": b"old\nnew\n"}
    Ranks(server, [old, new, new], "custom")
    first, second = az(*FOLLOW, "--timestamps").output.splitlines()
    assert first.split() == ["-", "old"]
    moment, word = second.split()
    assert word == "new"
    assert len(moment) == len("2026-01-01T00:00:00.000Z")


def test_faults_of_the_server_are_outlived(az, server):
    files = Ranks(server, [{"stdout-0.txt": b"a\n"}, {"stdout-0.txt": b"a\nb\n"}])
    files.fault = Answer(503)
    assert az(*FOLLOW).output == "[0] a\n[0] b\n"


def test_nothing_yet(az, server):
    Ranks(server, [{}] * 9)
    done = az(*LOGS)
    assert (done.code, done.output) == (0, "")
    assert done.stderr == "WARNING: Job j has written nothing yet; it is running.\n"


def test_nothing_at_all(az, server):
    Ranks(server, [{}]).final = "failed"
    done = az(*FOLLOW)
    assert done.code == 3
    assert "Job j has ended without writing to stdout" in done.stderr


def test_a_failure_is_told_and_is_no_failure_of_the_command(az, server):
    Ranks(server, [{"stdout-0.txt": b"a\n"}]).final = "failed"
    done = az(*FOLLOW)
    assert done.code == 0
    assert "Job j failed with exit code 0" in done.stderr


def test_job_that_is_not_there(az, server):
    server.on("GET", JOB, JOB_NOT_FOUND)
    assert az(*LOGS).code == 3


def test_interrupted(server):
    Ranks(server, [{"stdout-0.txt": b"line\n"}] * 100_000)
    process = start_process(*FOLLOW)
    assert process.stdout.readline() == "[0] line\n"
    os.kill(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert stderr == "WARNING: No longer following the job; it goes on.\n"


def test_colours_on_a_terminal_alone(server):
    Ranks(server, [{"stdout-0.txt": b"a\n", "stdout-1.txt": b"b\n"}])
    assert on_a_terminal(AZURE_CORE_NO_COLOR="no") == b"\x1b[36m[0]\x1b[0m a\r\n\x1b[33m[1]\x1b[0m b\r\n"
    assert on_a_terminal(AZURE_CORE_NO_COLOR="no", NO_COLOR="1") == b"[0] a\r\n[1] b\r\n"


def on_a_terminal(**env: str) -> bytes:
    """What a person sees on the standard output of `job logs`."""
    ours, terminal = pty.openpty()
    streams = {"stdin": subprocess.DEVNULL, "stdout": terminal, "stderr": terminal}
    process = subprocess.Popen(command(*LOGS), env={**os.environ, **env}, **streams)
    os.close(terminal)
    seen = b""
    try:
        while chunk := os.read(ours, 4096):
            seen += chunk
    except OSError:  # how Linux says that the other side is closed
        pass
    os.close(ours)
    assert process.wait(30) == 0
    return seen


@pytest.mark.parametrize(
    ("tool_type", "settings"),
    [
        ("pytorch", {"pyTorchSettings": {"pythonScriptFilePath": "a.py", "processCount": 2}}),
        ("caffe2", {"caffe2Settings": {"pythonScriptFilePath": "a.py"}}),
    ],
)
def test_streaming_a_file_that_the_toolkit_never_writes(az, server, monkeypatch, tool_type, settings):
    monkeypatch.setattr("azext_batchai.custom.job_file._REMOTE_INTERVAL", 0.01)
    Ranks(server, [{"stdout-0.txt": b"a\n", "stdout-1.txt": b"b\n"}] * 3, tool_type, **settings)
    done = az("batchai", "job", "file", "stream", *IN_EXPERIMENT, "-j", "j", "-f", "stdout.txt")
    assert (done.code, done.output) == (3, "")
    warning, error, *advice = done.stderr.splitlines()
    assert warning.startswith("WARNING: Job j will not write stdout.txt but stdout-0.txt, stdout-1.txt")
    assert error == "ERROR: The job has ended without writing stdout.txt."
    assert "It wrote stdout-0.txt, stdout-1.txt" in advice[0]
