"""Spellings of 2017 and of the documentation: accepted, or answered with one line that names today's option."""

import pytest

from azext_batchai.command_line.spellings import modernize
from extension.jobs import CLUSTER, IN_EXPERIMENT, JOB, JOB_NOT_FOUND
from extension.scripted import SUBSCRIPTION, Answer

pytestmark = pytest.mark.documented


@pytest.mark.parametrize(
    ("typed", "parsed"),
    [
        ("cluster create --nfs-name f", "cluster create --nfs f"),
        (
            "cluster create --container-name=b --container-mount-path m",
            "cluster create --bfs-name=b --bfs-mount-path m",
        ),
        ("cluster create -c cluster.json", "cluster create --config-file cluster.json"),
        ("cluster create -ccluster.json", "cluster create --config-file=cluster.json"),
        ("cluster create --admin-user-name me", "cluster create --user-name me"),
        ("file-server create --admin-user-name me -c=f.json", "file-server create --user-name me --config-file=f.json"),
        ("job create -r c -f job.json", "job create --cluster c -f job.json"),
        ("job create --cluster-name c", "job create --cluster c"),
        ("job create -c c -f job.json", "job create -c c -f job.json"),
        ("job create --cl c", "job create --cl c"),
        ("job create -cc --config f", "job create -cc --config f"),
        ("job create -f job.json", "job create -f job.json"),
        ("job create --c job.json", "job create --c job.json"),
        ("job create -h", "job create -h"),
        ("cluster node exec --name c --exec ls", "cluster node exec --cluster c --exec ls"),
        ("cluster list-nodes -n c -g g", "cluster node list -n c -g g"),
        ("cluster list-nodes --name c -g g", "cluster node list --cluster c -g g"),
        ("job list-files -n j -d stdouterr", "job file list --job j -d stdouterr"),
        ("job list-files --job-name j", "job file list --job j"),
        ("job list-files -h", "job file list -h"),
        ("job stream-file --job-name j -f stdout.txt", "job file stream --job j -f stdout.txt"),
        ("usage show -l eastus", "list-usages -l eastus"),
        ("workspace list -g g", "workspace list -g g"),
    ],
)
def test_accepted(typed, parsed):
    args = ["batchai", *typed.split()]
    modernize(args)
    assert args == ["batchai", *parsed.split()]
    modernize(args)
    assert args == ["batchai", *parsed.split()], "twice is once"


@pytest.mark.parametrize("args", [[], ["-h"], ["vm", "create", "--container-name", "b"], ["batchai"]])
def test_nothing_else_is_touched(args):
    before = list(args)
    modernize(args)
    assert args == before


@pytest.mark.parametrize(
    ("typed", "today"),
    [
        ("cluster create --location eastus", "`az batchai workspace create --location`"),
        ("file-server create -l eastus", "`az batchai workspace create --location`"),
        ("job create -l eastus", "where its cluster is"),
        ("job create --cluster-resource-group h", "give --cluster the ARM ID"),
        ("cluster create --nfs-resource-group h", "give --nfs the ARM ID"),
        ("job stream-file -n j", "name the file with -f (--file-name) and the job with -j"),
        ("job file stream -j j -n stdout.txt", "name the file with -f (--file-name) and the job with -j"),
    ],
)
def test_answered_with_one_line(az, server, typed, today):
    done = az("batchai", *typed.split())
    assert done.code == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("ERROR: ")
    assert today in line
    assert not server.requests


@pytest.mark.parametrize(
    ("group", "name", "command"),
    [
        ("job", "list-files", "job list-files"),
        ("job", "stream-file", "job stream-file"),
        ("cluster", "list-nodes", "cluster list-nodes"),
        ("", "usage", "usage show"),
    ],
)
def test_hidden(az, group, name, command):
    listed = az("batchai", *group.split(), "-h").output
    assert name not in [line.split()[0] for line in listed.splitlines() if line.strip()]
    assert az("batchai", *command.split(), "-h").code == 0


def test_command_lines_of_2017_run(az, server, write_json):
    server.expect("GET", JOB, JOB_NOT_FOUND)
    server.expect("GET", CLUSTER, Answer(200, {"id": CLUSTER, "name": "c"}))
    server.expect("PUT", JOB, Answer(200, {"id": JOB, "name": "j"}))
    file = write_json("job.json", {"nodeCount": 1})
    assert az("batchai", "job", "create", *IN_EXPERIMENT, "-n", "j", "-r", "c", "--config", file).code == 0

    server.expect("POST", f"{JOB}/listOutputFiles", Answer(200, {"value": []}))
    assert az("batchai", "job", "list-files", *IN_EXPERIMENT, "--name", "j", "-d", "stdouterr").result == []

    server.expect("POST", f"{CLUSTER}/listRemoteLoginInformation", Answer(200, {"value": []}))
    assert az("batchai", "cluster", "list-nodes", "-g", "g", "-w", "w", "-n", "c").result == []

    usages = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.BatchAI/locations/eastus/usages"
    server.expect("GET", usages, Answer(200, {"value": []}))
    assert az("batchai", "usage", "show", "-l", "eastus").result == []
