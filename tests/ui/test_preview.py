"""What the page shows of a file, and how it hands its content out."""

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from azext_batchai.service.ui import preview

pytestmark = pytest.mark.invented

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20


def shown(name: str, head: bytes, size: int | None = None) -> str:
    return preview.preview(name, head, len(head) if size is None else size, "/ui/raw?x=1&y=2")


def content_of(name: str, head: bytes, size: int | None = None) -> str:
    """The text in the `pre` of a preview."""
    match = re.search(r"<pre[^>]*>(.*)</pre>", shown(name, head, size), re.DOTALL)
    assert match
    return unescape(match[1])


@pytest.mark.parametrize(
    ("head", "text"),
    [
        (b"plain <b>&amp;</b>\n", "plain <b>&amp;</b>\n"),
        ("\ufeffmit Ümläuten".encode(), "mit Ümläuten"),
        (b"a log of many words\xff and more of them", "a log of many words\ufffd and more of them"),
        (b"\x1b[31mred\x1b[0m\x07\x7f", "␛[31mred␛[0m␇␡"),
        (b"\nfirst line is empty", "\n\nfirst line is empty"),  # HTML drops one
    ],
)
def test_text(head: bytes, text: str) -> None:
    assert content_of("out.txt", head) == text


def test_markup_in_a_file_stays_text() -> None:
    page = shown('"><script>alert(1)</script>.csv', b"<script>,b\n<img src=x>,2\n")
    assert "<script" not in page
    assert "<img" not in page


def test_a_cut_text_says_so_and_ends_with_a_whole_character() -> None:
    head = "ä".encode() * 100 + b"\xc3"
    assert content_of("out.txt", head, 5_000_000) == "ä" * 100
    assert "The first 201 B of 5.0 MB" in shown("out.txt", head, 5_000_000)
    assert content_of("out.txt", head).endswith("\ufffd")  # there the file itself ends so


def test_an_empty_file() -> None:
    assert "The file is empty." in shown("x.json", b"")


def test_json_is_indented_and_keeps_every_value() -> None:
    text = '{"a":[1.10,{}, [ ]],"b":{"c":"x, {y}: \\"z\\"","a":1e400},"a":123456789012345678901234567890}'
    pretty = content_of("x.json", text.encode())
    assert pretty.splitlines()[:4] == ["{", '  "a": [', "    1.10,", "    {},"]
    assert pretty.splitlines()[-2:] == ['  "a": 123456789012345678901234567890', "}"]
    assert json.loads(pretty) == json.loads(text)
    assert re.sub(r"\s", "", pretty) == re.sub(r"\s", "", text)


@pytest.mark.parametrize("text", ['{"a": 1', "[" * 60_000, "[" * 900 + "0," * 20_000 + "0" + "]" * 900])
def test_json_that_is_none_or_would_be_huge_stays_text(text: str) -> None:
    assert content_of("x.json", text.encode()) == text


def test_json_that_is_cut_stays_text() -> None:
    assert content_of("x.json", b'{"a": 1, "b"', 100_000) == '{"a": 1, "b"'


def cells(page: str) -> list[list[str]]:
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    return [[re.sub("<[^>]*>", "", cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in rows]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table(separator: str) -> None:
    text = f'{separator}name{separator}loss\r\n0{separator}"a\nb"{separator}1\r\n\r\n1{separator}c\r\n'
    page = shown("x.CSV", text.encode())
    assert cells(page)[0] == ["Row", "no name", "name", "loss"]
    assert cells(page)[2] == ["2", "1", "c", ""]
    assert "a\nb" in page
    assert "2 rows" in page


def test_a_table_of_numbers_has_no_heads_of_its_own() -> None:
    page = shown("x.csv", b"1.5,2e3\n3,4\n")
    assert cells(page) == [["Row", "Column 1", "Column 2"], ["1", "1.5", "2e3"], ["2", "3", "4"]]


def test_a_table_is_bounded() -> None:
    line = ",".join(f"c{number}" for number in range(60))
    page = shown("x.csv", f"{line}\n{(line + chr(10)) * 260}".encode())
    assert len(cells(page)) == 201
    assert {len(row) for row in cells(page)} == {51}
    assert "The first 200 rows, the first 50 of 60 columns" in page


def test_the_cut_line_of_a_table_is_left_out() -> None:
    page = shown("x.csv", b"a,b\n1,2\n3,", 1000)
    assert cells(page)[1:] == [["1", "1", "2"]]
    assert "The first 1 rows" in page


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("a.png", PNG),
        ("a.JPG", b"\xff\xd8\xff\xe0 and so on"),
        ("a.gif", b"GIF89a"),
        ("a.webp", b"RIFF\n\0\0\nWEBPVP8 "),
        ("a.svg", b'<?xml version="1.0"?>\n<svg/>'),
    ],
)
def test_a_picture_is_shown_by_its_address(name: str, head: bytes) -> None:
    page = shown(f"folder/{name}", head)
    assert f'<img src="/ui/raw?x=1&amp;y=2" alt="{name}" class="preview">' in page


@pytest.mark.parametrize("head", [b"\x80\x04\x95\0\0\0", b"\xff" * 100, PNG])
def test_other_bytes_are_said_in_words(head: bytes) -> None:
    page = shown("model.pt", head, 1234)
    assert "neither text nor a picture" in page
    assert "1234 bytes" in page
    assert head[:3].hex(" ") in page
    assert "Open the file itself" not in page


def test_what_only_is_called_a_picture_is_shown_as_text() -> None:
    assert content_of("a.png", b"Not found") == "Not found"


def answered(tmp_path: Path, name: str, data: bytes, **headers: str) -> Any:
    path = tmp_path / "file"
    path.write_bytes(data)
    return preview.raw(path.open("rb", buffering=0), name, headers)


@pytest.mark.parametrize(
    ("name", "data", "media_type", "how"),
    [
        ("x.html", b"<script>1</script>", "text/plain; charset=utf-8", "inline"),
        ("x.png", PNG, "image/png", "inline"),
        ("x.svg", b"<svg/>", "image/svg+xml", "inline"),
        ("x.svg", b"<html>", "text/plain; charset=utf-8", "inline"),
        ("x.html", b"<html>\0", "application/octet-stream", "attachment"),
        ("x.pdf", b"%PDF-1.7\0", "application/octet-stream", "attachment"),
    ],
)
def test_raw_content_can_run_nothing(tmp_path: Path, name: str, data: bytes, media_type: str, how: str) -> None:
    answer = answered(tmp_path, name, data)
    assert (answer.status_code, answer.body) == (200, data)
    assert answer.headers.getlist("content-type") == [media_type]
    assert answer.headers["content-disposition"].startswith(f"{how};")
    assert "sandbox" in answer.headers["content-security-policy"]
    assert "script-src" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_name_of_a_download_cannot_break_the_header(tmp_path: Path) -> None:
    answer = answered(tmp_path, 'folder/ä"\r\nx: y\udcff.bin', b"\0")
    value = answer.headers["content-disposition"]
    assert value == "attachment; filename=\"____x: y_.bin\"; filename*=UTF-8''%C3%A4%22%0D%0Ax%3A%20y%FF.bin"


@pytest.mark.parametrize(
    ("wanted", "status", "body", "range_"),
    [
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=8-99", 206, b"89", "bytes 8-9/10"),
        ("bytes=10-", 416, b"", "bytes */10"),
        ("bytes=1-2,4-5", 200, b"0123456789", None),
    ],
)
def test_ranges(tmp_path: Path, wanted: str, status: int, body: bytes, range_: str | None) -> None:
    answer = answered(tmp_path, "x.txt", b"0123456789", range=wanted)
    assert (answer.status_code, answer.body, answer.headers.get("content-range")) == (status, body, range_)


def test_a_range_of_a_file_that_has_changed_is_the_whole_file(tmp_path: Path) -> None:
    tag = answered(tmp_path, "x.txt", b"0123456789").headers["etag"]
    same = {"range": "bytes=2-4", "if-range": tag}
    path = tmp_path / "file"
    assert preview.raw(path.open("rb", buffering=0), "x.txt", same).status_code == 206
    assert answered(tmp_path, "x.txt", b"9876543210+", **same).status_code == 200
