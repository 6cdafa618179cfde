"""`job file stream`: what the module of azure-cli does wrong, proved on it.

What it does here is in test_stream.py, on the same file.
"""

import pytest

from extension.builtin import OF_JOB
from extension.growing_file import SECRET, GrowingFile
from extension.jobs import JOB, job
from extension.scripted import Answer


@pytest.fixture(autouse=True)
def downloads_need_no_token(server):
    server.open_paths.add("/file")


@pytest.fixture
def stream(builtin):
    return lambda: builtin.code.tail_file(builtin.client.jobs, *OF_JOB, "stdout.txt")


def test_the_end_is_lost(server, stream, capsys):
    GrowingFile(server, b"almost", b"almost all")
    stream()
    assert capsys.readouterr().out == "almost"


def test_characters_cut_in_two(server, stream):
    text = "né\n".encode()
    GrowingFile(server, *(text[: n + 1] for n in range(len(text))))
    with pytest.raises(UnicodeDecodeError):
        stream()


@pytest.mark.parametrize("status", [403, 500, 503])
def test_expired_urls_and_server_faults_are_ignored(server, stream, capsys, status):
    file = GrowingFile(server, b"all", b"all of it")
    file.faults = [Answer(status)]
    server.on("GET", JOB, job("succeeded", 0))
    stream()
    assert capsys.readouterr().out == ""


def test_signed_url_is_printed(server, stream, builtin):
    GrowingFile(server, b"x")
    stream()
    assert SECRET in "\n".join(builtin.log)


def test_whole_file_is_held_in_memory(server, stream, builtin, monkeypatch):
    GrowingFile(server, b"x")
    options = []
    get = builtin.code.requests.get
    monkeypatch.setattr(builtin.code.requests, "get", lambda url, **more: options.append(more) or get(url, **more))
    stream()
    assert not options[0].get("stream")


def test_interrupt_looks_like_success(builtin, monkeypatch):
    codes = []
    monkeypatch.setattr(builtin.code.os, "_exit", codes.append)
    builtin.code.sigint_handler()
    assert codes == [0]
