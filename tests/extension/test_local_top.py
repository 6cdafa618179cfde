"""az batchai local top: the overview in a terminal, on the whole of it or printed once."""

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from azext_batchai.local import top
from harness import az
from harness.cluster import ok
from harness.service import Service
from harness.terminal import Terminal

pytestmark = pytest.mark.invented
PLACE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.BatchAI/workspaces/lab"
TOP = ("local", "top")


def cluster(*states: str, **facts: Any) -> dict[str, Any]:
    return {
        "id": f"{PLACE}/clusters/c1",
        "name": "c1",
        "vmSize": "STANDARD_NC6",
        "vmPriority": "dedicated",
        "engine": "local",
        "allocationState": "steady",
        "scaleSettings": {"autoScale": {"minimumNodeCount": 0, "maximumNodeCount": 4}},
        "nodes": [{"id": f"n{number}", "state": state, "job": None} for number, state in enumerate(states)],
        "jobsRunning": 0,
        "jobsQueued": 0,
        **facts,
    }


def job(name: str, state: str = "running", reason: str = "", since: str = "2026-01-02T03:00:00.5Z") -> dict[str, Any]:
    return {
        "id": f"{PLACE}/experiments/exp/jobs/{name}",
        "executionState": state,
        "since": since,
        "reason": reason,
    }


def overview(**facts: Any) -> dict[str, Any]:
    lists: dict[str, Any] = {"attention": [], "clusters": [], "experiments": [], "jobs": []}
    found = {"time": "2026-01-02T03:04:05.678Z", **lists, "jobsRunning": 0, "jobsQueued": 0, **facts}
    assert found.keys() == {"time", "attention", "clusters", "experiments", "jobs", "jobsRunning", "jobsQueued"}
    return found


def drawn(width: int = 80, **facts: Any) -> list[str]:
    return [top.plain(line) for line in top.lines(overview(**facts), width)]


def test_nothing_yet() -> None:
    assert drawn() == [
        "CLUSTERS",
        "  none; make one with `az batchai cluster create`",
        "",
        "JOBS  0 running, 0 queued",
        "  nothing runs and nothing waits",
    ]
    assert top.plain(top.headline(overview())) == "Batch AI  0 running, 0 queued  03:04:05 UTC"


def test_everything_in_its_order() -> None:
    attention = [{"what": "failed", "id": job("old")["id"], "text": "exit code 3: no data"}]
    jobs = [job("a"), job("b", "queued", "it needs 1 idle node, and c1 has 1 running")]
    shown = drawn(
        attention=attention, clusters=[cluster("running", "idle", "unusable", jobsRunning=1, jobsQueued=1)], jobs=jobs
    )
    assert shown == [
        "NEEDS ATTENTION",
        "  failed    lab/exp/old  exit code 3: no data",
        "",
        "CLUSTERS",
        "  lab/c1  steady  STANDARD_NC6, 0 to 4 nodes  1 running, 1 queued",
        "    RIU",
        "    1 running, 1 idle, 1 unusable",
        "",
        "JOBS  0 running, 0 queued",
        "  running   lab/exp/a  4 min",
        "  queued    lab/exp/b  4 min  it needs 1 idle node, and c1 has 1 running",
    ]
    cells = top.lines(overview(clusters=[cluster("running", "unusable")]), 80)[2]
    assert cells == [("    ", ""), ("R", "busy"), ("U", "bad")]


@pytest.mark.parametrize("width", [1, 5, 40, 80, 250])
@pytest.mark.parametrize("nodes", [0, 1, 1000])
def test_no_line_is_wider_than_the_window(width: int, nodes: int) -> None:
    states = ("running", "idle", "unusable", "leaving") * 250
    text = "word " * 50 + "y" * 300 + " 数据" * 100
    facts = overview(
        attention=[{"what": "failed", "id": job("x" * 64)["id"], "text": text}] * 30,
        clusters=[cluster(*states[:nodes], vmSize="STANDARD_" + "X" * 60, engine="slurm")],
        jobs=[job("j", "queued", "because " * 40)],
        jobsQueued=100,
    )
    shown = top.lines(facts, width)
    assert max(top.columns(top.plain(line)) for line in shown) <= width
    assert len(shown) < 150
    assert top.columns(top.plain(top.fit(top.headline(facts), width))) <= width


def test_a_narrow_window_has_texts_on_lines_of_their_own() -> None:
    shown = drawn(40, jobs=[job("b", "queued", "it needs 1 idle node, and c1 has 1 running")])
    assert shown[-3:] == [
        "  queued    lab/exp/b  4 min",
        "    it needs 1 idle node, and c1 has 1",
        "    running",
    ]


def test_a_long_name_shows_its_end() -> None:
    shown = drawn(40, jobs=[job("a-very-long-name-of-a-sweep-17")])
    assert shown[-1] == "  running   …-name-of-a-sweep-17  4 min"


def test_letters_stand_for_several_nodes_where_there_are_many() -> None:
    states = ["running"] * 995 + ["idle"] * 4 + ["unusable"]
    shown = drawn(44, clusters=[cluster(*states)])
    letters = "".join(line.strip() for line in shown if re.fullmatch(r" {4}[RIU]+", line))
    each = -(-1000 // (40 * 3 - 3))
    assert letters == "U" + "R" * -(-995 // each) + "I"
    assert "995 running, 4 idle, 1 unusable; a" in " ".join(shown)
    assert f"up to {each} nodes" in " ".join(line.strip() for line in shown)


def test_more_than_is_shown_is_counted() -> None:
    attention = [{"what": "damaged", "id": None, "text": "the record of a job"}] * 15
    shown = [top.plain(line) for line in top.lines(overview(attention=attention, jobs=[job("a")], jobsQueued=8), 80, 2)]
    assert shown[3] == "  and 13 more"
    assert shown[-1] == "  and 7 more"


@pytest.mark.parametrize(
    ("age", "since"),
    [
        ("5 s", "2026-01-02T03:04:00.7Z"),
        ("0 s", "2026-01-02T03:09:00Z"),  # clocks that were set meanwhile
        ("3 h", "2026-01-02T00:04:00Z"),
        ("2 d", "2025-12-31T00:04:00Z"),
    ],
)
def test_ages(age: str, since: str) -> None:
    assert drawn(jobs=[job("a", since=since)])[-1].endswith(f"  {age}")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]0;title\x1b\\text", "text"),
        ("a\x1bcb\x9b2Jc\x00\x08\x7f", "ab2Jc"),
        ("line\r\nnext\tcell", "line  next cell"),
        ("\u202etxt.exe\u200b", "txt.exe"),
        ("ä 数据", "ä 数据"),
        ("\udcff", ""),
    ],
)
def test_nothing_in_a_text_is_obeyed(text: str, shown: str) -> None:
    assert top.clean(text) == shown
    line = drawn(attention=[{"what": "failed", "id": job("j")["id"], "text": f"x{text}"}])[1]
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", line)


def test_colours_are_of_states_only() -> None:
    line = top.lines(overview(clusters=[cluster("running")]), 80)[2]
    assert top.coloured(line) == "    \x1b[36mR\x1b[0m"
    assert top.plain(line) == "    R"


@pytest.fixture
def stopped(home: Path) -> Path:
    return home


def test_without_a_service_it_says_what_to_type(stopped: Path) -> None:
    done = az.run("batchai", "local", "top", "--once")
    assert done.code == 1
    assert "not running" in done.stderr
    assert "az batchai local up" in done.stderr
    assert done.output == ""
    assert not (stopped / "service.json").exists()


@pytest.fixture(scope="module")
def busy(service: Service) -> Service:
    """Four jobs, which take long."""
    ok(az.run("batchai", "job", "sweep", "-w", "lab", "-c", "c1", "--param", "n=1,2,3,4", "--", "sleep", "60{n}"))
    return service


def test_once_in_a_pipe(busy: Service) -> None:
    done = az.run_process("batchai", "local", "top")
    assert done.code == 0, done.stderr
    assert re.match(r"Batch AI  [0-4] running, [0-4] queued  \d\d:\d\d:\d\d UTC\n\nCLUSTERS\n", done.output)
    assert "lab/c1" in done.output
    assert "\x1b" not in done.output


def test_an_encoding_that_lacks_letters_is_no_error(busy: Service) -> None:
    done = az.run_process("batchai", "local", "top", env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert done.code == 0, done.stderr


def test_data(busy: Service) -> None:
    found = ok(az.run("batchai", "local", "top", "--once", "-o", "json"))
    assert found.keys() == overview().keys()
    assert [one["name"] for one in found["clusters"]] == ["c1"]
    assert found["jobsRunning"] + found["jobsQueued"] == 4
    assert json.loads(az.run("batchai", "local", "top", "--query", "length(jobs)", "-o", "tsv").output) == 4


def test_table(busy: Service) -> None:
    done = az.run("batchai", "local", "top", "-o", "table")
    heads, _, row = done.output.splitlines()
    assert heads.split()[:3] == ["Cluster", "Workspace", "State"]
    assert row.split()[:2] == ["c1", "lab"]


def test_on_the_whole_terminal_until_q(busy: Service) -> None:
    terminal = Terminal(*TOP)
    terminal.read_until(lambda shown: "lab/c1" in shown and "q quits" in shown)
    terminal.press("q")
    assert terminal.end() == 0
    assert terminal.is_restored


def test_a_new_size_and_keys(busy: Service) -> None:
    terminal = Terminal(*TOP, LINES="24", COLUMNS="100")
    terminal.read_until(lambda shown: "q quits" in shown)
    terminal.resize(5, 50)
    terminal.read_until(lambda shown: "1 to 3 of " in shown)
    terminal.press("\x1bOB")
    terminal.read_until(lambda shown: re.search(r"2.{0,9} to 4|2 to 4", shown[shown.rfind("1 to 3 of ") :]))
    terminal.press("q")
    assert terminal.end() == 0


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_signals_leave_the_terminal_as_it_was(busy: Service, number: int, code: int) -> None:
    terminal = Terminal(*TOP)
    terminal.read_until(lambda shown: "q quits" in shown)
    terminal.signal(number)
    assert terminal.end() == code
    assert terminal.is_restored
    assert "Traceback" not in terminal.shown


def test_keys_are_obeyed_while_the_service_hangs(busy: Service) -> None:
    terminal = Terminal(*TOP)
    terminal.read_until(lambda shown: "lab/c1" in shown)
    os.kill(busy.info["pid"], signal.SIGSTOP)
    try:
        terminal.press("q")
        assert terminal.end() == 0
    finally:
        os.kill(busy.info["pid"], signal.SIGCONT)
    assert terminal.is_restored


def test_what_cannot_be_restored_is_seen(busy: Service) -> None:
    """The test's own eyes: after SIGKILL the terminal is not as it was."""
    terminal = Terminal(*TOP)
    terminal.read_until(lambda shown: "q quits" in shown)
    terminal.signal(signal.SIGKILL)
    terminal.end()
    assert not terminal.is_restored


def test_ctrl_c(busy: Service) -> None:
    terminal = Terminal(*TOP)
    terminal.read_until(lambda shown: "q quits" in shown)
    terminal.press_ctrl_c()
    assert terminal.end() == 130
    assert terminal.is_restored


def test_colours_only_where_they_are_wanted(busy: Service) -> None:
    coloured = Terminal(*TOP, TERM="xterm-256color")
    coloured.read_until(lambda shown: "lab/c1" in shown)
    coloured.press("q")
    coloured.end()
    assert re.search(r"\x1b\[3[1-6]m", coloured.shown)
    plain = Terminal(*TOP, TERM="xterm-256color", NO_COLOR="1")
    plain.read_until(lambda shown: "lab/c1" in shown)
    plain.press("q")
    plain.end()
    assert not re.search(r"\x1b\[3[1-6]m", plain.shown)


@pytest.mark.parametrize("kind", ["dumb", "no-such-terminal", ""])
def test_a_terminal_that_cannot_be_drawn_on_gets_it_once(busy: Service, kind: str) -> None:
    terminal = Terminal(*TOP, TERM=kind)
    assert terminal.end() == 0
    assert "lab/c1" in terminal.shown
    assert "Traceback" not in terminal.shown


def test_without_curses_it_says_so(busy: Service, tmp_path: Path) -> None:
    (tmp_path / "curses.py").write_text("raise ImportError('no curses here')\n")
    terminal = Terminal(*TOP, PYTHONPATH=str(tmp_path))
    assert terminal.end() == 1
    assert "az batchai local top --once" in terminal.shown
    once = Terminal(*TOP, "--once", PYTHONPATH=str(tmp_path))
    assert once.end() == 0
    assert "lab/c1" in once.shown


def test_a_service_that_comes_later_is_found(home: Path) -> None:
    terminal = Terminal(*TOP)
    terminal.read_until(lambda shown: "az batchai local up" in shown)
    service = Service(home)
    assert service.start()["status"] == "ready"
    terminal.read_until(lambda shown: "CLUSTERS" in shown)
    assert az.run("batchai", "local", "down").code == 0
    terminal.read_until(lambda shown: "not running" in shown[shown.rfind("CLUSTERS") :])
    terminal.press("q")
    assert terminal.end() == 0
