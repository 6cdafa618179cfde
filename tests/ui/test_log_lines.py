"""The lines of a log, whatever stands in it and whatever becomes of it."""

from pathlib import Path
from typing import BinaryIO

import pytest

from azext_batchai.formats import job_config
from azext_batchai.service.clock import monotonic
from azext_batchai.service.ui import log_lines, log_search
from azext_batchai.service.ui.log_lines import LONGEST, PIECE, Row

pytestmark = pytest.mark.invented


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "stdout.txt"


def opened(path: Path, data: bytes | None = None) -> BinaryIO:
    if data is not None:
        path.write_bytes(data)
    return path.open("rb", buffering=0)


def texts(rows: list[Row]) -> list[str]:
    return [text for _, text in rows]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x1b[1;31mred\x1b[0m \x1b]0;title\x07and \x1b(Bplain", "red and plain"),
        (b"half \xc3 and \xff whole \xc3\xa4", "half \ufffd and \ufffd whole ä"),
        (b"nul \0 bell \x07 tab \t", "nul ␀ bell ␇ tab \t"),
        ("turned \u202e around".encode(), "turned \ufffd around"),
        (b"\x1b[" + b"0" * 5000, "0" * 5000),
    ],
)
def test_what_a_terminal_would_obey_is_taken_out_or_shown(data: bytes, text: str) -> None:
    assert log_lines.text_of(data) == text


def test_rows_have_their_places_and_an_unfinished_line_waits() -> None:
    data = "ä\n\nlast".encode()
    assert log_lines.split(data, 100, False) == ([(100, "ä"), (103, "")], 4)
    assert log_lines.split(data, 100, True) == ([(100, "ä"), (103, ""), (104, "last")], 8)


def test_of_a_progress_bar_the_last_state_counts() -> None:
    data = b"10%\r50%\r100%\r\nnext\r\n 1%\r 2%\r"
    assert log_lines.split(data, 0, False) == ([(0, "100%"), (14, "next")], 20)
    assert texts(log_lines.split(data, 0, True)[0])[-1] == " 2%"
    states = b"".join(b"\r%d%%" % number for number in range(20_000))
    assert texts(log_lines.split(states + b"\n", 0, False)[0]) == ["19999%"]
    rows, used = log_lines.split(states, 0, False)
    assert rows == []
    assert 0 < len(states) - used <= LONGEST


def test_a_very_long_line_comes_in_pieces_that_cut_no_character() -> None:
    data = "€".encode() * 20_000 + b"\nnext\n"
    rows, used = log_lines.split(data, 0, False)
    assert used == len(data)
    assert "".join(texts(rows)[:-1]) == "€" * 20_000
    assert all(len(text.encode()) <= LONGEST for text in texts(rows))
    unfinished, used = log_lines.split(data[: LONGEST * 2], 0, False)
    assert "\ufffd" not in "".join(texts(unfinished))
    assert 0 < used <= 2 * LONGEST


@pytest.mark.parametrize("line", ["line {}\n", "ä€😀{}\n", "\n", "x" * 40_000 + "{}\n", "no end ä€😀"])
def test_reading_back_and_on_gives_each_byte_once(log: Path, line: str) -> None:
    data = "".join(line.format(number) for number in range(50)).encode()
    with opened(log, data) as file:
        back: list[Row] = []
        end = len(data)
        while end:
            chunk = log_lines.read_back(file, max(end - 5000, 0), end)
            assert chunk.begin < end
            back, end = chunk.rows + back, chunk.begin
        on: list[Row] = []
        while end < len(data):
            chunk = log_lines.read_on(file, end, True)
            on, end = on + chunk.rows, chunk.end
    assert "".join(texts(back)) == "".join(texts(on)) == data.decode().replace("\n", "")


def test_a_range_begins_with_a_whole_line(log: Path) -> None:
    data = "".join(f"zeile {number} ä\n" for number in range(100)).encode()
    with opened(log, data) as file:
        for begin in range(1, 40):
            chunk = log_lines.read_back(file, begin, len(data))
            assert data[chunk.begin - 1 : chunk.begin] == b"\n"
            assert texts(chunk.rows) == data[chunk.begin :].decode().splitlines()


def test_a_range_that_begins_in_a_character_leaves_it_out(log: Path) -> None:
    with opened(log, "€".encode() * 1000) as file:
        assert texts(log_lines.read_back(file, 1, 3000).rows) == ["€" * 999]


def test_ranges_are_bounded(log: Path) -> None:
    with opened(log, b"0123456\n" * 100_000) as file:
        assert len(log_lines.read_back(file, 0, 800_000).rows) == PIECE // 8
        assert len(log_lines.read_on(file, 0, True).rows) == PIECE // 8
        assert log_lines.read_back(file, 10**15, 10**18).rows == []


def test_a_follower_gets_what_is_new_and_whole(log: Path) -> None:
    with opened(log, b"one\ntw") as file:
        first = log_lines.follow(file, None, 100, False)
        assert (first.rows, first.unfinished, first.end) == ([(0, "one")], "tw", 4)
        with log.open("ab") as more:
            more.write("o\ndrei \u00e4"[:-1].encode() + b"\xc3")
        second = log_lines.follow(file, first.end, 100, False)
        assert (second.rows, second.unfinished) == ([(4, "two")], "drei \ufffd")
        with log.open("ab") as more:
            more.write(b"\xa4")
        assert log_lines.follow(file, second.end, 100, True).rows == [(8, "drei ä")]


def test_a_follower_of_a_file_that_is_cut_begins_anew(log: Path) -> None:
    with opened(log, b"a long line\n" * 10) as file:
        end = log_lines.follow(file, None, 1000, False).end
        log.write_bytes(b"new\n")
        chunk = log_lines.follow(file, end, 1000, False)
        assert (chunk.cut, chunk.rows) == (True, [(0, "new")])


def test_a_follower_far_behind_leaves_out_what_is_between(log: Path) -> None:
    with opened(log, b"0123456\n" * 200_000) as file:
        chunk = log_lines.follow(file, 8, 1000, False)
    assert chunk.begin - 8 == chunk.skipped > 0
    assert len(chunk.rows) == 125


def found(file: BinaryIO, needle: str, begin: int = 0, most: int = 200, seconds: float = 60) -> log_search.Found:
    return log_search.search(file, needle, begin, most, monotonic() + seconds)


@pytest.mark.parametrize("needle", ["loss", "LoSS"])
def test_search_finds_lines_in_any_case(log: Path, needle: str) -> None:
    data = b"nothing\nLoss 1 loss 2\n\nthe LOSS\nlos\ns"
    with opened(log, data) as file:
        assert found(file, needle) == log_search.Found([(8, "Loss 1 loss 2"), (23, "the LOSS")], len(data), True)


def test_search_knows_letters_beyond_ascii(log: Path) -> None:
    with opened(log, "ÄRGER (1)\närger [2]\n".encode() + b"\xff\xc3\n") as file:
        assert texts(found(file, "ärger").rows) == ["ÄRGER (1)", "ärger [2]"]
        assert texts(found(file, "är.er").rows) == []
        assert texts(found(file, "ärger [").rows) == ["ärger [2]"]


def test_search_finds_what_lies_across_two_pieces_once(log: Path) -> None:
    data = b"x" * ((1 << 20) - 3) + b"needle\n" + b"y" * (2 << 20) + b"needle needle\nneedle\n"
    with opened(log, data) as file:
        rows = found(file, "needle").rows
    assert len(rows) == 3
    for at, text in rows:
        assert "needle" in text
        assert b"needle" in data[at : at + LONGEST]
    assert data[rows[2][0] :] == b"needle\n"


def test_search_ends_after_so_many_lines_and_goes_on_there(log: Path) -> None:
    with opened(log, b"".join(b"line %d\n" % number for number in range(500))) as file:
        first = found(file, "line", most=200)
        second = found(file, "line", first.end, most=400)
    assert (len(first.rows), first.whole) == (200, False)
    assert (len(second.rows), second.whole) == (300, True)
    assert second.rows[0][1] == "line 200"


def test_search_ends_in_time_and_goes_on_there(log: Path) -> None:
    with log.open("wb") as file:
        file.truncate(8 << 20)
        file.seek(0, 2)
        file.write(b"\nneedle\n")
    rows: list[Row] = []
    with opened(log) as file:
        end, rounds, whole = 0, 0, False
        while not whole:
            step = found(file, "needle", end, seconds=-1)
            assert step.end > end or step.whole
            rows, end, whole, rounds = rows + step.rows, step.end, step.whole, rounds + 1
    assert rows == [((8 << 20) + 1, "needle")]
    assert rounds > 4


def test_a_log_of_a_gigabyte(log: Path) -> None:
    with log.open("wb") as file:
        file.truncate(1 << 30)
        file.seek(0, 2)
        file.write(b"\nlast line\n")
    with opened(log) as file:
        chunk = log_lines.follow(file, None, log_lines.TAIL, False)
        assert chunk.rows == [((1 << 30) + 1, "last line")]
        back = log_lines.read_back(file, chunk.begin - log_lines.TAIL, chunk.begin)
        assert sum(len(text) for text in texts(back.rows)) == back.end - back.begin - 1


def test_the_configuration_has_what_a_job_is_created_with() -> None:
    models = pytest.importorskip("azure.mgmt.batchai").models
    sent = {entry["key"].removeprefix("properties.") for entry in models.JobCreateParameters._attribute_map.values()}
    assert set(job_config.NAMES) == sent
