"""What the framework promises for every command: formats, queries, ids, no-wait; and what wrong input gets."""

import json
from pathlib import Path

import pytest
import yaml

from harness import az
from harness.cluster import ok
from harness.service import Service

RG = ("-g", "research")
LAB = (*RG, "-w", "lab")
LISTS = [
    ("workspace", "list", *RG),
    ("cluster", "list", *LAB),
    ("cluster", "node", "list", *LAB, "-c", "mycluster"),
    ("experiment", "list", *LAB),
    ("job", "list", *LAB, "-e", "exp"),
    ("job", "file", "list", *LAB, "-e", "exp", "-j", "done"),
    ("file-server", "list", *LAB),
    ("list-usages", "-l", "eastus"),
    ("workspace", "show", *RG, "-n", "lab"),
    ("cluster", "show", *LAB, "-n", "mycluster"),
    ("experiment", "show", *LAB, "-n", "exp"),
    ("job", "show", *LAB, "-e", "exp", "-n", "done"),
    ("file-server", "show", *LAB, "-n", "nfs"),
]


@pytest.fixture(scope="module")
def populated(trainers: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The lab with one finished job and a file server."""
    job = tmp_path_factory.mktemp("job") / "job.json"
    settings = {"customToolkitSettings": {"commandLine": "echo hi"}}
    body = {"nodeCount": 1, "stdOutErrPathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/autoafs", **settings}
    job.write_text(json.dumps({"properties": body}), encoding="utf-8")
    of_job = (*LAB, "-e", "exp", "-n", "done")
    ok(az.run("batchai", "job", "create", *of_job, "-c", "mycluster", "-f", str(job)))
    assert az.run("batchai", "job", "wait", *of_job, "--interval", "1").code == 0
    server = (
        "batchai",
        "file-server",
        "create",
        *LAB,
        "-n",
        "nfs",
        "-s",
        "Standard_D1",
        "-u",
        "admin",
        "-p",
        "pw12345678",
    )
    ok(az.run(*server, "--disk-count", "1", "--disk-size", "10", "--storage-sku", "Standard_LRS"))
    return trainers


@pytest.mark.parametrize("command", LISTS, ids=lambda words: " ".join(words[:3]))
def test_every_format(populated: str, command: tuple[str, ...]) -> None:
    as_json = ok(az.run("batchai", *command))
    assert as_json
    as_yaml = az.run("batchai", *command, "-o", "yaml")
    assert yaml.safe_load(as_yaml.output) == as_json or "downloadUrl" in as_yaml.output  # links are signed anew
    table = az.run("batchai", *command, "-o", "table")
    assert table.code == 0, table.stderr
    count = len(as_json) if isinstance(as_json, list) else 1
    assert len(table.output.rstrip("\n").split("\n")) == 2 + count
    tsv = az.run("batchai", *command, "-o", "tsv", "--query", "name" if isinstance(as_json, dict) else "[].name")
    assert tsv.code == 0
    for outcome in (as_yaml, table, tsv):
        assert outcome.stderr == ""


def test_query(populated: str) -> None:
    outcome = az.run("batchai", "cluster", "list", *LAB, "--query", "[].{n:name,nodes:currentNodeCount}", "-o", "tsv")
    assert outcome.output == "mycluster\t1\n"


def test_ids_of_one_and_of_several(populated: str) -> None:
    experiment = ok(az.run("batchai", "experiment", "create", *LAB, "-n", "other"))
    one = ok(az.run("batchai", "experiment", "show", "--ids", experiment["id"]))
    assert one["name"] == "other"
    first = ok(az.run("batchai", "experiment", "show", *LAB, "-n", "exp"))
    several = ok(az.run("batchai", "experiment", "show", "--ids", first["id"], experiment["id"]))
    assert {found["name"] for found in several} == {"exp", "other"}
    table = az.run("batchai", "experiment", "show", "--ids", first["id"], experiment["id"], "-o", "table")
    assert len(table.output.rstrip("\n").split("\n")) == 4
    assert az.run("batchai", "experiment", "delete", "--ids", experiment["id"], "--yes").code == 0
    assert az.run("batchai", "experiment", "show", "--ids", experiment["id"]).code == 3


def test_ids_of_jobs_and_clusters(populated: str) -> None:
    job = ok(az.run("batchai", "job", "show", *LAB, "-e", "exp", "-n", "done"))
    assert ok(az.run("batchai", "job", "show", "--ids", job["id"]))["id"] == job["id"]
    assert az.run("batchai", "job", "wait", "--ids", job["id"]).code == 0
    cluster = ok(az.run("batchai", "cluster", "show", *LAB, "-n", "mycluster"))
    assert ok(az.run("batchai", "cluster", "show", "--ids", cluster["id"]))["name"] == "mycluster"


def test_no_wait_returns_at_once_and_empty(populated: str) -> None:
    ok(az.run("batchai", "experiment", "create", *LAB, "-n", "brief"))
    outcome = az.run("batchai", "experiment", "delete", *LAB, "-n", "brief", "--yes", "--no-wait")
    assert (outcome.code, outcome.output) == (0, "")


WRONG = [
    # an exit code, words of the message, the command
    (2, "--vm-sise", ("cluster", "create", *LAB, "-n", "c", "--vm-sise", "Standard_NC6")),
    (2, "misspelled", ("cluster", "crate")),
    (2, "required", ("cluster", "create", *LAB)),
    (2, "--target", ("cluster", "resize", *LAB, "-n", "mycluster", "--target", "many")),
    (2, "--vm-priority", ("cluster", "create", *LAB, "-n", "c", "--vm-priority", "free")),
    (1, "--name", ("cluster", "show", *LAB)),
    (3, "workspace", ("cluster", "list", *RG, "-w", "nowhere")),
    (3, "workspace", ("workspace", "show", *RG, "-n", "nowhere")),
    (3, "cluster", ("cluster", "show", *LAB, "-n", "nowhere")),
    (3, "cluster", ("cluster", "resize", *LAB, "-n", "nowhere", "-t", "1")),
    (3, "experiment", ("job", "list", *LAB, "-e", "nowhere")),
    (3, "job", ("job", "show", *LAB, "-e", "exp", "-n", "nowhere")),
    (3, "job", ("job", "wait", *LAB, "-e", "exp", "-n", "nowhere")),
    (3, "job", ("job", "file", "stream", *LAB, "-e", "exp", "-j", "nowhere", "-f", "stdout.txt")),
    (3, "file server", ("file-server", "show", *LAB, "-n", "nowhere")),
    (1, "name", ("cluster", "create", *LAB, "-n", "not/a/name", "-s", "Standard_NC6", "-t", "1")),
    (1, "--min", ("cluster", "create", *LAB, "-n", "c", "-s", "Standard_NC6", "--max", "1")),
    (1, "--yes", ("cluster", "delete", *LAB, "-n", "mycluster")),
    (1, "missing.json", ("cluster", "create", *LAB, "-n", "c", "-f", "missing.json")),
    (1, "missing.json", ("job", "create", *LAB, "-e", "exp", "-n", "j", "-c", "mycluster", "-f", "missing.json")),
]


@pytest.mark.parametrize(("code", "word", "command"), WRONG, ids=lambda value: str(value)[:40])
def test_wrong_input(populated: str, code: int, word: str, command: tuple[str, ...]) -> None:
    outcome = az.run("batchai", *command)
    assert outcome.code == code, outcome.stderr
    assert outcome.output == ""
    assert word.lower() in outcome.stderr.lower()
    assert "Traceback" not in outcome.stderr
    assert "unexpected error" not in outcome.stderr


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '"text"', '{"properties": 3}', '{"properties": {"customToolkitSettings": {}}}', "", "\x00\xff"],
    ids=repr,
)
def test_broken_job_files(populated: str, tmp_path: Path, text: str) -> None:
    path = tmp_path / "job.json"
    path.write_text(text, encoding="latin-1")
    outcome = az.run("batchai", "job", "create", *LAB, "-e", "exp", "-n", "broken", "-c", "mycluster", "-f", str(path))
    assert outcome.code == 1
    assert outcome.output == ""
    assert "Traceback" not in outcome.stderr
    assert "unexpected error" not in outcome.stderr
    assert az.run("batchai", "job", "show", *LAB, "-e", "exp", "-n", "broken").code == 3  # nothing half-created


def test_nothing_half_created_by_a_refused_cluster(populated: str, service: Service) -> None:
    create = ("batchai", "cluster", "create", *LAB, "-n", "refused", "-s", "Standard_NC6", "-p", "secretpassword")
    outcome = az.run(*create, "-t", "1", "--nfs", "no-such-server")
    assert outcome.code == 3, outcome.stderr
    assert az.run("batchai", "cluster", "show", *LAB, "-n", "refused").code == 3


@pytest.mark.parametrize("words", ["--help", "cluster --help", "cluster create --help", "job file stream -h"])
def test_help(words: str) -> None:
    outcome = az.run("batchai", *words.split())
    assert outcome.code == 0
    assert "az batchai" in outcome.output
    assert "deprecated" not in outcome.output + outcome.stderr
