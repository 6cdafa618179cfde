"""Jobs are real: processes that run, fail, are ended with all their children, and leave their output."""

import json
import re
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from harness import az, processes
from harness.cluster import ok, share, show, wait_for_nodes
from harness.processes import wait_until
from harness.service import Service

WHERE = ("-g", "research", "-w", "lab", "-e", "exp")


def job(name: str):
    return ok(az.run("batchai", "job", "show", *WHERE, "-n", name))


def wait(name: str) -> int:
    return az.run("batchai", "job", "wait", *WHERE, "-n", name, "--interval", "1").code


def stream(name: str, file: str = "stdout.txt") -> str:
    outcome = az.run("batchai", "job", "file", "stream", *WHERE, "-j", name, "-f", file)
    assert outcome.code == 0, outcome.stderr
    return outcome.output


def wait_for_state(name: str, state: str) -> None:
    wait_until(lambda: job(name)["executionState"] == state, f"{name} is {state}")


def test_environment_of_a_job(trainers: str, submit) -> None:
    submit(
        "env",
        'env; echo "$GREETING $SECRET"; pwd',
        environmentVariables=[{"name": "GREETING", "value": "good morning"}],
        secrets=[{"name": "SECRET", "value": "s3cret"}],
        inputDirectories=[{"id": "DATA", "path": "$AZ_BATCHAI_MOUNT_ROOT/autoafs/data"}],
        outputDirectories=[{"id": "MODEL", "pathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/autoafs", "pathSuffix": "m"}],
    )
    output = stream("env")
    assert wait("env") == 0
    lines = dict(line.split("=", 1) for line in output.splitlines() if re.match(r"\w+=", line))
    mounts = lines["AZ_BATCHAI_MOUNT_ROOT"]
    assert lines["AZ_BATCHAI_INPUT_DATA"] == f"{mounts}/autoafs/data"
    segment = job("env")["jobOutputDirectoryPathSegment"]
    assert lines["AZ_BATCHAI_OUTPUT_MODEL"] == f"{mounts}/autoafs/{segment}/outputs/m"
    assert lines["AZ_BATCHAI_STDOUTERR_DIR"] == f"{mounts}/autoafs/{segment}/stdouterr"
    assert "good morning s3cret" in output
    # Nothing of the service's own settings or secrets leaks into a job.
    assert not [name for name in lines if name.startswith("AZURE_BATCHAI_")]
    shown = job("env")
    assert shown["secrets"] == [{"name": "SECRET", "value": None, "valueSecretReference": None}]
    assert shown["environmentVariables"] == [{"name": "GREETING", "value": "good morning"}]


@pytest.mark.recorded
def test_a_failed_job_reports_its_exit_code(trainers: str, submit) -> None:
    submit("bad", "echo before; exit 3")
    assert wait("bad") == 3
    failed = job("bad")
    assert failed["executionState"] == "failed"
    info = failed["executionInfo"]
    assert info["exitCode"] == 3
    assert [(error["code"], error["message"]) for error in info["errors"]] == [
        ("JobFailed", "Job failed with non-zero exit code")
    ]
    assert stream("bad") == "before\n"


@pytest.mark.recorded
def test_terminate_ends_the_whole_process_tree(trainers: str, submit, service: Service) -> None:
    # A child, a child that ignores TERM, and one that leaves the session.
    submit("tree", "sleep 3031 & (trap '' TERM; sleep 3032 & wait; sleep 3032) & setsid sleep 3033 & echo up; wait")
    sleepers = re.compile(r"sleep 303[123]")
    running = wait_until(
        lambda: len([c for c in processes.of_home(service.home).values() if sleepers.search(c)]) >= 3, "the tree is up"
    )
    assert running
    ok(az.run("batchai", "job", "terminate", *WHERE, "-n", "tree", "--yes"))
    ended = job("tree")
    assert ended["executionState"] == "failed"
    assert "exitCode" not in ended["executionInfo"] or ended["executionInfo"]["exitCode"] is None
    assert [error["code"] for error in ended["executionInfo"]["errors"]] == ["JobTerminated"]
    left = [command for command in processes.of_home(service.home).values() if sleepers.search(command)]
    assert not left
    assert stream("tree") == "up\n"


@pytest.mark.recorded
def test_a_queued_job_can_be_terminated(trainers: str, submit) -> None:
    submit("first", "sleep 3034")
    wait_for_state("first", "running")
    submit("second", "echo never")
    time.sleep(0.3)
    assert job("second")["executionState"] == "queued"  # the one node is taken
    ok(az.run("batchai", "job", "terminate", *WHERE, "-n", "second", "--yes"))
    assert [error["code"] for error in job("second")["executionInfo"]["errors"]] == ["JobTerminated"]
    assert job("first")["executionState"] == "running"


def test_jobs_run_in_the_order_of_their_submission(trainers: str, submit, service: Service) -> None:
    for number in range(4):
        submit(f"turn{number}", f"echo {number} >> $AZ_BATCHAI_MOUNT_ROOT/autoafs/turns.txt")
    assert [wait(f"turn{number}") for number in range(4)] == [0] * 4
    account = show("lab")["nodeSetup"]["mountVolumes"]["azureFileShares"][0]["accountName"]
    assert (share(service.home, account, "batchaishare") / "turns.txt").read_text() == "0\n1\n2\n3\n"


def test_delete_of_a_running_job_ends_it(trainers: str, submit, service: Service) -> None:
    submit("doomed", "sleep 3035")
    wait_for_state("doomed", "running")
    assert az.run("batchai", "job", "delete", *WHERE, "-n", "doomed", "--yes").code == 0
    assert az.run("batchai", "job", "show", *WHERE, "-n", "doomed").code == 3
    assert not [command for command in processes.of_home(service.home).values() if "sleep 3035" in command]


@pytest.mark.documented
def test_stream_follows_a_file_as_it_grows(trainers: str, submit, tmp_path: Path) -> None:
    gate = tmp_path / "go"
    submit("slow", f"echo one; while [ ! -e {gate} ]; do sleep 0.05; done; printf 'two\\nno newline'")
    follower = az.start_process("batchai", "job", "file", "stream", *WHERE, "-j", "slow", "-f", "stdout.txt")
    assert follower.stdout and follower.stderr
    with follower.stdout, follower.stderr:
        assert follower.stdout.readline() == "one\n"  # while the job still runs
        assert job("slow")["executionState"] == "running"
        gate.touch()
        assert follower.stdout.read() == "two\nno newline"
    assert follower.wait(10) == 0


def test_output_is_byte_exact(trainers: str, submit) -> None:
    submit("bytes", "for i in $(seq 20000); do echo line $i äöü; done")
    assert stream("bytes") == "".join(f"line {i} äöü\n" for i in range(1, 20001))


@pytest.mark.recorded
def test_files_are_listed_with_signed_links(trainers: str, submit) -> None:
    submit(
        "files",
        "mkdir -p $AZ_BATCHAI_OUTPUT_OUT/deep/er; echo 0123456789 > $AZ_BATCHAI_OUTPUT_OUT/a.txt;"
        "echo x > $AZ_BATCHAI_OUTPUT_OUT/deep/b.txt",
        outputDirectories=[{"id": "OUT", "pathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/autobfs", "pathSuffix": "out"}],
    )
    assert wait("files") == 0
    listing = ("batchai", "job", "file", "list", *WHERE, "-j", "files")
    assert [file["name"] for file in ok(az.run(*listing))] == ["execution.log", "stderr.txt", "stdout.txt"]
    files = ok(az.run(*listing, "-d", "OUT"))
    assert [(file["name"], file["fileType"], file.get("contentLength")) for file in files] == [
        ("a.txt", "file", 11),
        ("deep", "directory", None),
    ]
    assert [file["name"] for file in ok(az.run(*listing, "-d", "OUT", "-p", "deep"))] == ["b.txt", "er"]

    url = files[0]["downloadUrl"]
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    assert direct.open(url).read() == b"0123456789\n"
    part = direct.open(urllib.request.Request(url, headers={"Range": "bytes=8-"}))
    assert (part.status, part.read()) == (206, b"89\n")
    for address, header, status in (
        (url, "bytes=11-", 416),
        (re.sub(r"sig=[^&]+", "sig=00", url), "", 403),
        (re.sub(r"se=20", "se=21", url), "", 403),
        (url.replace("a.txt", "deep/b.txt"), "", 403),
    ):
        with pytest.raises(urllib.error.HTTPError) as refused:
            direct.open(urllib.request.Request(address, headers={"Range": header} if header else {}))
        assert refused.value.code == status


@pytest.mark.documented
def test_auto_scale_brings_nodes_for_jobs_and_takes_idle_ones_away(service: Service, submit) -> None:
    where = ("-g", "research", "-w", "scaled")
    ok(az.run("batchai", "workspace", "create", "-g", "research", "-n", "scaled"))
    ok(az.run("batchai", "experiment", "create", *where, "-n", "exp"))
    create = ("batchai", "cluster", "create", *where, "-n", "mycluster", "-s", "Standard_NC6", "-p", "secretpassword")
    ok(az.run(*create, "--min", "0", "--max", "2", "--use-auto-storage"))
    wait_for_nodes("scaled")
    for number in range(3):
        submit(f"j{number}", "sleep 3036", workspace="scaled")
    wait_for_nodes("scaled", running=2)
    states = [found["executionState"] for found in ok(az.run("batchai", "job", "list", *where, "-e", "exp"))]
    assert sorted(states) == ["queued", "running", "running"]  # the maximum holds
    scale = show("scaled")["scaleSettings"]
    for number in range(3):
        ok(az.run("batchai", "job", "terminate", *where, "-e", "exp", "-n", f"j{number}", "--yes"))
    cluster = wait_for_nodes("scaled")
    assert cluster["scaleSettings"] == scale
    ok(az.run("batchai", "cluster", "auto-scale", *where, "-n", "mycluster", "--min", "1", "--max", "1"))
    wait_for_nodes("scaled", idle=1)


@pytest.mark.swagger
def test_a_job_of_two_nodes_waits_for_both(service: Service, submit) -> None:
    where = ("-g", "research", "-w", "gang")
    ok(az.run("batchai", "workspace", "create", "-g", "research", "-n", "gang"))
    ok(az.run("batchai", "experiment", "create", *where, "-n", "exp"))
    create = ("batchai", "cluster", "create", *where, "-n", "mycluster", "-s", "Standard_NC6", "-p", "secretpassword")
    ok(az.run(*create, "--target", "1", "--use-auto-storage"))
    wait_for_nodes("gang", idle=1)
    submit("pair", "echo once", workspace="gang", nodeCount=2)
    time.sleep(0.3)
    of_job = ("batchai", "job", "show", *where, "-e", "exp", "-n", "pair")
    assert ok(az.run(*of_job))["executionState"] == "queued"
    ok(az.run("batchai", "cluster", "resize", *where, "-n", "mycluster", "--target", "2"))
    assert az.run("batchai", "job", "wait", *where, "-e", "exp", "-n", "pair", "--interval", "1").code == 0
    files = ok(az.run("batchai", "job", "file", "list", *where, "-e", "exp", "-j", "pair"))
    assert len([file for file in files if file["name"].startswith("execution-tvm-")]) == 2
    assert json.dumps(files).count("stdout.txt?") == 1  # a custom command runs once, on the master


def test_a_job_that_can_never_fit_says_why(service, az) -> None:
    """`job show` keeps its result pure and tells the reason on stderr, also with a table on stdout."""
    where = ("-g", "research", "-w", "waiting")
    ok(az("batchai", "workspace", "create", "-g", "research", "-n", "waiting"))
    ok(az("batchai", "experiment", "create", *where, "-n", "exp"))
    ok(az("batchai", "cluster", "create", *where, "-n", "small", "-s", "Standard_D1", "-t", "1", "--use-auto-storage"))
    body = {
        "properties": {
            "nodeCount": 3,
            "customToolkitSettings": {"commandLine": "true"},
            "stdOutErrPathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/autoafs",
        }
    }
    config = service.home / "never.json"
    config.write_text(json.dumps(body), encoding="utf-8")
    ok(az("batchai", "job", "create", *where, "-e", "exp", "-n", "never", "-c", "small", "-f", str(config)))
    shown = az("batchai", "job", "show", *where, "-e", "exp", "-n", "never")
    assert shown.json()["executionState"] == "queued"
    assert "it needs 3 nodes, and cluster small is set to 1 at most" in shown.stderr
    table = az("batchai", "job", "show", *where, "-e", "exp", "-n", "never", "-o", "table")
    assert "queued" in table.output and "it needs 3 nodes" in table.stderr


def test_several_ids(trainers: str) -> None:
    """az runs the command for each in a thread, and all of these import the SDK for the first time."""
    ids = []
    for name in ("ids-1", "ids-2", "ids-3", "ids-4"):
        made = ok(az.run("batchai", "experiment", "create", "-g", "research", "-w", trainers, "-n", name))
        ids.append(made["id"])
    done = az.run_process("batchai", "experiment", "show", "--ids", *ids)
    assert (done.code, done.stderr) == (0, "")
    assert sorted(found["id"] for found in done.json()) == sorted(ids)
