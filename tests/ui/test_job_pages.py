"""The page of a job, its log and its files, as HTML and data over HTTP."""

import json
import os
import re
import uuid
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from harness.processes import wait_until
from harness.service import Service
from ui.job_log import Stream, address, output_folder
from ui.visitor import Answer, Visitor
from wire.api import Api

pytestmark = pytest.mark.invented

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture(scope="module")
def lab(service: Service) -> Api:
    """A workspace with a cluster of two nodes."""
    made = Api(service, f"ws-{uuid.uuid4().hex[:8]}")
    made.create_cluster(nodes=2)
    return made


@pytest.fixture(scope="module")
def ended(lab: Api) -> str:
    """A job that has ended, into whose folder tests write."""
    lab.create_job("ended", "echo done")
    lab.wait_for_job("ended")
    return "ended"


@pytest.fixture
def folder(lab: Api, ended: str) -> Path:
    return output_folder(lab, ended)


def data_of(visitor: Visitor, page: str, what: str, **query: Any) -> Any:
    answer = visitor.get(f"{page}/logs/{what}?{urlencode(query)}")
    assert answer.status == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return json.loads(answer.content)


def harmless(answer: Answer) -> bool:
    return "<script>alert" not in answer.text and "<img src=x" not in answer.text


def test_a_job_with_all_that_it_is_made_of(lab: Api, visitor: Visitor) -> None:
    lab.create_job(
        "whole",
        f"echo '{HOSTILE}'",
        environmentVariables=[{"name": "LEVEL", "value": HOSTILE}, {"name": "HF_TOKEN", "value": "hf-of-nobody"}],
        secrets=[{"name": "HIDDEN", "value": "hidden-of-nobody"}],
        mountVolumes=lab.mounts(),
        jobPreparation={"commandLine": "echo ready"},
        outputDirectories=[{"id": "MODEL", "pathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/afs"}],
        constraints={"maxWallClockTime": "PT1H30M"},
    )
    lab.wait_for_job("whole")
    page = visitor.get(address(lab, "whole"))
    assert page.status == 200
    assert page.shown.startswith("whole succeeded")
    told = ("1 h 30 min (PT1H30M)", "echo ready", "Preparation", "MODEL", "LEVEL", "HF_TOKEN", "HIDDEN", "file share")
    for words in told:
        assert words in page.shown, words
    assert "of-nobody" not in page.text
    assert harmless(page)
    assert f"az batchai job logs --subscription {lab.workspace.split('/')[2]} -g lab" in page.shown
    assert "az batchai job terminate" not in page.shown


def test_job_json_makes_the_job_again(lab: Api, visitor: Visitor, ended: str) -> None:
    page = visitor.get(address(lab, ended))
    shown = re.search(r'aria-label="job.json">(.*?)</pre>', page.text, re.DOTALL)
    assert shown
    body = json.loads(unescape(shown[1]))
    status, _, answer = lab.call("PUT", lab.job("once-more"), body)
    assert status == 202, answer
    assert lab.wait_for_job("once-more")["executionState"] == "succeeded"


def test_a_failed_job_says_who_and_what(lab: Api, visitor: Visitor) -> None:
    settings = {"pythonScriptFilePath": "-c", "pythonInterpreterPath": "python3", "processCount": 2}
    settings["commandLineArgs"] = f"'import os, sys; sys.exit(\"{HOSTILE}\" if os.environ[\"RANK\"] == \"1\" else 0)'"
    body = lab.job_body()
    del body["properties"]["customToolkitSettings"]
    body["properties"].update(nodeCount=2, pyTorchSettings=settings)
    assert lab.call("PUT", lab.job("bad"), body)[0] == 202
    lab.wait_for_job("bad")
    page = visitor.get(address(lab, "bad"))
    assert "Rank 1 said last:" in page.shown
    assert HOSTILE in page.shown
    assert harmless(page)


def test_a_job_that_waits_says_for_what_and_can_be_terminated(lab: Api, visitor: Visitor) -> None:
    lab.create_job("waits", nodeCount=50)
    page = visitor.get(address(lab, "waits"))
    assert "it needs 50 nodes, and cluster is set to 2 at most" in page.shown
    answer = visitor.submit(address(lab, "waits"), f"{address(lab, 'waits')}/terminate")
    assert (answer.status, answer.headers["location"]) == (303, address(lab, "waits"))
    assert lab.wait_for_job("waits")["executionState"] == "failed"
    assert "terminated by the user" in visitor.get(address(lab, "waits")).shown
    answer = visitor.submit(address(lab, "waits"), f"{address(lab, 'waits')}/delete")
    assert (answer.status, answer.headers["location"]) == (303, address(lab, "waits").rpartition("/jobs/")[0])
    wait_until(lambda: visitor.get(address(lab, "waits")).status == 404, "the job is gone")


def test_without_the_token_of_a_form_nothing_ends(lab: Api, visitor: Visitor, ended: str) -> None:
    for verb in ("terminate", "delete"):
        assert visitor.post(f"{address(lab, ended)}/{verb}", {"token": "guessed"}).status == 403
    assert lab.call("GET", lab.job(ended))[0] == 200


def test_what_does_not_exist_is_not_found(lab: Api, visitor: Visitor, ended: str) -> None:
    for page in (
        address(lab, "never-made"),
        address(lab, "never-made", "logs", "events"),
        address(lab, ended, "logs", "range") + "?file=stdout-9.txt&from=0",
        address(lab, ended, "files", "stdouterr", "no", "such"),
        address(lab, ended, "raw", "stdouterr", "no.txt"),
        address(lab, ended, "raw", "stdouterr"),
    ):
        assert visitor.get(page).status == 404, page
    assert visitor.get(address(lab, ended, "files", "UNKNOWN")).status == 400


@pytest.mark.parametrize(
    "query",
    [
        "range?file=execution.log&from=0",
        "range?file=..%2Fstdout.txt&from=0",
        "range?file=stdout-..%2F..%2Fx.txt&from=0",
        "range?file=stdout.txt",
        "range?file=stdout.txt&from=-5",
        "search?q=",
        "search?q=" + "x" * 201,
    ],
)
def test_what_makes_no_sense_is_refused(lab: Api, visitor: Visitor, ended: str, query: str) -> None:
    assert visitor.get(f"{address(lab, ended)}/logs/{query}").status == 400


def test_a_log_is_told_as_it_grows_and_to_its_end(lab: Api, visitor: Visitor) -> None:
    wait = "while [ ! -f go ]; do sleep 0.05; done"
    lab.create_job("grows", f"echo one; echo oops >&2; printf half; {wait}; echo ' a line'")
    page = address(lab, "grows")
    with Stream(visitor, page) as stream:
        assert stream.response.headers["content-type"].startswith("text/event-stream")
        seen: list[str] = []
        unfinished = ""
        for kind, data in stream.events():
            if kind == "lines":
                seen += [f"{chunk['file']}: {text}" for chunk in data for _, text in chunk["rows"]]
                unfinished = "".join(chunk.get("unfinished", "") for chunk in data) or unfinished
            if unfinished and len(seen) == 2:
                break
        assert (set(seen), unfinished) == ({"stdout.txt: one", "stderr.txt: oops"}, "half")
        last = stream.last_id
    assert lab.properties(lab.job("grows"))["executionState"] == "running"
    [workdir] = list(lab.service.home.glob("nodes/*/**/grows/wd"))
    (workdir / "go").touch()
    with Stream(visitor, page, last) as stream:
        assert stream.texts() == ["stdout.txt: half a line"]
    with Stream(visitor, page, stream="stderr") as stream:
        assert stream.texts() == ["stderr.txt: oops"]


def test_a_stream_ends_with_the_sessions(lab: Api, visitor: Visitor) -> None:
    lab.create_job("unseen", nodeCount=50)
    with Stream(visitor, address(lab, "unseen")) as stream:
        assert lab.service.request("POST", "/_local/ui/revoke")[0] == 200
        assert stream.texts() == []
    assert visitor.get(address(lab, "unseen")).status == 401
    lab.call("POST", f"{lab.job('unseen')}/terminate")


def test_a_job_that_waits_is_followed_into_its_run(lab: Api, visitor: Visitor) -> None:
    lab.create_job("before", "while [ ! -f go ]; do sleep 0.05; done", nodeCount=2)
    lab.create_job("then", "echo here", nodeCount=2)
    with Stream(visitor, address(lab, "then")) as stream:
        assert lab.properties(lab.job("then"))["executionState"] == "queued"
        folders = lab.service.home / "nodes"
        wait_until(lambda: len([*folders.glob("*/**/before/wd")]) == 2, "it runs")
        for workdir in folders.glob("*/**/before/wd"):  # whichever node is the master
            (workdir / "go").touch()
        assert stream.texts() == ["stdout.txt: here"]


def test_a_stream_that_makes_no_sense_begins_anew(lab: Api, visitor: Visitor, ended: str) -> None:
    for places in ("nonsense", "[]", '{"stdout.txt": -1}', '{"stdout.txt": true}', "[" * 5000, '{"stdout.txt": 99999}'):
        with Stream(visitor, address(lab, ended), **{"from": places}) as stream:
            assert stream.texts() == ["stdout.txt: done"], places


def test_a_file_that_was_cut_is_told(lab: Api, visitor: Visitor, ended: str, folder: Path) -> None:
    (folder / "stdout-7.txt").write_bytes(b"new\n")
    with Stream(visitor, address(lab, ended), rank="7", **{"from": '{"stdout-7.txt": 500}'}) as stream:
        chunks = [chunk for kind, data in stream.events() if kind == "lines" for chunk in data]
    (folder / "stdout-7.txt").unlink()
    assert [(chunk["cut"], chunk["rows"]) for chunk in chunks] == [(True, [[0, "new"]])]


def test_what_is_no_plain_file_is_left_alone(lab: Api, visitor: Visitor, ended: str, folder: Path) -> None:
    os.mkfifo(folder / "stdout-1.txt")
    (folder / "stdout-2.txt").symlink_to("/etc/passwd")
    (folder / "stdout-3.txt").mkdir()
    try:
        with Stream(visitor, address(lab, ended)) as stream:
            assert stream.texts() == ["stdout.txt: done"]
        for rank in (1, 2, 3):
            query = f"range?file=stdout-{rank}.txt&from=0"
            assert visitor.get(f"{address(lab, ended)}/logs/{query}").status == 404
            assert visitor.get(address(lab, ended, "raw", "stdouterr", f"stdout-{rank}.txt")).status == 404
    finally:
        for rank in (1, 2):
            (folder / f"stdout-{rank}.txt").unlink()
        (folder / "stdout-3.txt").rmdir()


def test_ranges_and_search(lab: Api, visitor: Visitor, ended: str, folder: Path) -> None:
    page = address(lab, ended)
    (folder / "stdout-4.txt").write_text("".join(f"line {number} ä\n" for number in range(20_000)))
    try:
        size = (folder / "stdout-4.txt").stat().st_size
        last = data_of(visitor, page, "range", file="stdout-4.txt", to=size)
        assert last["rows"][-1][1] == "line 19999 ä"
        assert last["to"] == last["size"] == size
        before = data_of(visitor, page, "range", file="stdout-4.txt", **{"from": 0}, to=last["from"])
        assert before["to"] == last["rows"][0][0]
        found = data_of(visitor, page, "search", q="LINE 1234", rank="4")
        assert [match["text"] for match in found["matches"]] == ["line 1234 ä", *(f"line 1234{n} ä" for n in range(10))]
        assert found["more"] is None
        match = found["matches"][0]
        assert data_of(visitor, page, "range", file=match["file"], **{"from": match["at"]})["rows"][0] == [
            match["at"],
            "line 1234 ä",
        ]
        many = data_of(visitor, page, "search", q="line")
        assert len(many["matches"]) == 200
        more = data_of(visitor, page, "search", q="line", **many["more"])
        assert more["matches"][0]["text"] == "line 200 ä"
    finally:
        (folder / "stdout-4.txt").unlink()


def test_a_log_of_a_gigabyte(lab: Api, visitor: Visitor, ended: str, folder: Path) -> None:
    page = address(lab, ended)
    with (folder / "stdout-5.txt").open("wb") as file:
        file.truncate(1 << 30)
        file.seek(0, 2)
        file.write(b"\nnear the end\n")
    try:
        with Stream(visitor, page, rank="5") as stream:
            assert stream.texts()[-1] == "stdout-5.txt: near the end"
        place: dict[str, Any] | None = {}
        matches: list[Any] = []
        while place is not None:
            found = data_of(visitor, page, "search", q="near the end", rank="5", **place)
            matches, place = matches + found["matches"], found["more"]
        assert [match["at"] for match in matches] == [(1 << 30) + 1]
        assert len(visitor.get(f"{page}/logs/range?file=stdout-5.txt&from=0").content) < 2_000_000
        assert "The first 64 kB" not in visitor.get(f"{page}/files/stdouterr/stdout-5.txt").text  # NULs are no text
        part = visitor.get(f"{page}/raw/stdouterr/stdout-5.txt", range=f"bytes={(1 << 30) + 1}-{(1 << 30) + 4}")
        assert (part.status, part.content) == (206, b"near")
    finally:
        (folder / "stdout-5.txt").unlink()


def test_files_of_any_name_are_listed_and_shown(lab: Api, visitor: Visitor, ended: str, folder: Path) -> None:
    page = address(lab, ended)
    nasty = folder / HOSTILE.replace("/", "∕")
    nasty.mkdir()
    odd = nasty / os.fsdecode(b"odd \xff?#%.html")
    odd.write_text(HOSTILE)
    try:
        listing = visitor.get(f"{page}/files/stdouterr")
        assert "stdout.txt" in listing.shown
        assert harmless(listing)
        [link] = re.findall(r'href="([^"]*alert[^"]*)"', listing.text)
        below = visitor.get(link)
        assert harmless(below)
        [file] = re.findall(r'href="([^"]*odd[^"]*)"', below.text)
        shown = visitor.get(file)
        assert HOSTILE in shown.shown
        assert harmless(shown)
        [content] = set(re.findall(r'href="([^"]*/raw/[^"]*)"', shown.text))
        raw = visitor.get(content)
        assert (raw.status, raw.text) == (200, HOSTILE)
        assert raw.headers["content-type"].startswith("text/plain")
        assert "sandbox" in raw.headers["content-security-policy"]
        assert raw.headers["x-content-type-options"] == "nosniff"
    finally:
        odd.unlink()
        nasty.rmdir()


def test_a_large_folder_is_shown_a_page_at_a_time(lab: Api, visitor: Visitor, ended: str, folder: Path) -> None:
    (folder / "many").mkdir()
    for number in range(205):
        (folder / "many" / f"{number:03d}.txt").touch()
    first = visitor.get(f"{address(lab, ended)}/files/stdouterr/many")
    assert "199.txt" in first.shown
    assert "200.txt" not in first.shown
    [following] = re.findall(r'href="([^"]*\?after=[^"]*)"', first.text)
    second = visitor.get(following)
    assert "204.txt" in second.shown
    assert "199.txt" not in second.shown


@pytest.mark.parametrize("path", ["..%2F..%2F..", "../../..", "%2e%2e/x", "%00", "a%2Fb%00"])
def test_no_path_leads_out(lab: Api, visitor: Visitor, ended: str, path: str) -> None:
    for kind in ("files", "raw"):
        answer = visitor.get(f"{address(lab, ended)}/{kind}/stdouterr/{path}")
        assert answer.status in (400, 404), answer.text
