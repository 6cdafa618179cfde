"""At a terminal: colours, narrow ones, and Ctrl-C at each long step; off it none of that."""

import re
from pathlib import Path

import pytest

from harness import az
from harness.cluster import ok
from harness.service import Service
from harness.terminal import Terminal

pytestmark = pytest.mark.invented
PLACE = ("-g", "batchai", "-w", "default", "-e", "default")
COLOUR = re.compile(r"\x1b\[3\d")


def lines(shown: str) -> list[str]:
    """What is left on the screen, without the lines that were taken away again."""
    return [re.sub(r"\x1b\[[0-9;]*m", "", line.rpartition("\x1b[K")[2]) for line in shown.split("\n")]


@pytest.fixture(scope="module", autouse=True)
def jobs(service: Service, tmp_path_factory: pytest.TempPathFactory) -> None:
    """`done`, which has failed, and `busy`, which has written a line and runs."""
    script = tmp_path_factory.mktemp("scripts") / "train.py"
    script.write_text("import time\nprint('up', flush=True)\ntime.sleep(600)\n")
    assert az.run("batchai", "job", "run", "-n", "done", "--", "echo no data >&2; exit 3").code == 3
    words = ("-n", "busy", "--nodes", "2", "--toolkit", "pytorch", "--detach", "--")
    ok(az.run("batchai", "job", "run", *words, "python3", str(script)))


def test_colours_at_a_terminal_only() -> None:
    terminal = Terminal("local", "doctor")
    assert terminal.end() == 0
    assert COLOUR.search(terminal.shown)
    plain = Terminal("local", "doctor", NO_COLOR="1")
    plain.end()
    assert not COLOUR.search(plain.shown)
    piped = az.run_process("batchai", "local", "doctor", env={"AZURE_CORE_NO_COLOR": "no"})
    assert "\x1b" not in piped.output + piped.stderr


def test_colours_of_ranks() -> None:
    terminal = Terminal("job", "logs", *PLACE, "-n", "busy", "--follow")
    terminal.read_until(lambda shown: shown.count("up") == 2)
    assert len(set(COLOUR.findall(terminal.shown))) == 2
    terminal.press_ctrl_c()
    assert terminal.end() == 130


@pytest.mark.parametrize("columns", [20, 60, 100])
def test_narrow_terminals(columns: int) -> None:
    doctor = Terminal("local", "doctor", columns=columns)
    doctor.end()
    assert max(map(len, lines(doctor.shown))) < columns
    table = Terminal("job", "list", *PLACE, "-o", "table", columns=columns)
    table.end()
    assert "Why" not in table.shown


def test_a_wide_terminal() -> None:
    table = Terminal("job", "list", *PLACE, "-o", "table", columns=200)
    assert table.end() == 0
    assert "exit code 3: no data" in table.shown
    assert max(map(len, lines(table.shown))) <= 200


@pytest.mark.parametrize(
    ("words", "at", "said"),
    [
        (("job", "wait", *PLACE, "-n", "busy"), "is running", "the job goes on"),
        (("job", "logs", *PLACE, "-n", "busy", "--follow"), "up", "it goes on"),
        (("job", "file", "stream", *PLACE, "-j", "busy", "-f", "stdout-0.txt"), "up", "the job goes on"),
        (("job", "run", "-n", "{}", "--", "echo going; sleep 600"), "going", "The job goes on"),
        (("local", "logs", "--follow"), "ready at", ""),
        (("cluster", "node", "exec", *PLACE[:4], "-c", "default", "-L", "0:localhost:1"), "Forwarding", ""),
    ],
    ids=["wait", "logs", "stream", "run", "local logs", "node exec"],
)
def test_ctrl_c(words: tuple[str, ...], at: str, said: str) -> None:
    terminal = Terminal(*(word.format("interrupted") for word in words))
    terminal.read_until(lambda shown: at in shown)
    terminal.press_ctrl_c()
    code = terminal.end()
    assert code in ((0, 130) if "exec" in words else (130,)), terminal.shown
    assert said in " ".join(lines(terminal.shown))
    assert "Traceback" not in terminal.shown
    assert ok(az.run("batchai", "job", "show", *PLACE, "-n", "busy"))["executionState"] == "running"


@pytest.mark.parametrize("over_the_network", [False, True])
def test_an_upload_goes_on_after_ctrl_c(service: Service, tmp_path: Path, over_the_network: bool) -> None:
    """It cannot be done before the key is pressed: what it shows of so many files waits for somebody to read it."""
    elsewhere = {
        "AZURE_BATCHAI_ENDPOINT": service.info["endpoint"],
        "AZURE_BATCHAI_TOKEN": service.info["token"],
        "AZURE_BATCHAI_SUBSCRIPTION": service.info["subscription"],
    }
    env = elsewhere if over_the_network else {}
    names = {f"{index:03}-{'x' * 60}" for index in range(200)}
    for name in names:
        (tmp_path / name).write_text(name)
    folder = f"uploaded-{over_the_network}"
    words = ("job", "file", "upload", *PLACE, "-j", "busy", "--source", str(tmp_path), "-p", folder)
    terminal = Terminal(*words, columns=120, **env)
    terminal.read_until(lambda shown: "(3 files" in shown)
    terminal.press_ctrl_c()
    assert terminal.end() == 130, terminal.shown
    assert "the same command goes on where it stopped" in terminal.shown
    assert "Traceback" not in terminal.shown
    [target] = service.home.glob(f"storage/*/files/*/**/{folder}")
    whole = {path.name for path in target.iterdir() if path.read_text() == path.name}
    assert 3 <= len(whole) < len(names)

    again = az.run_process("batchai", *words, env=env)
    assert again.code == 0, again.stderr
    assert again.json()["unchanged"] >= 3
    assert again.json()["unchanged"] + again.json()["copied"] == len(names)
    assert {path.name: path.read_text() for path in target.iterdir()} == {name: name for name in names}


def test_the_spinner_leaves_nothing_behind() -> None:
    terminal = Terminal("job", "wait", *PLACE, "-n", "busy", columns=30)
    terminal.read_until(lambda shown: "0:02" in shown)
    terminal.press_ctrl_c()
    assert terminal.end() == 130
    drawn = re.findall(r"\x1b\[K([-|/\\] [^\r\n]*)", terminal.shown)
    assert drawn
    assert max(map(len, drawn)) < 30
    assert not any("0:02" in line for line in lines(terminal.shown))
