"""az batchai job node: the nodes of a job, reached as those of its cluster (test_node_exec.py) are."""

import pytest

from extension.jobs import CLUSTER, IN_EXPERIMENT, JOB, JOB_NOT_FOUND, job
from extension.scripted import Answer

OF_JOB = (*IN_EXPERIMENT, "-j", "j")
LOGINS = {"value": [{"nodeId": f"tvm-{n}", "ipAddress": "127.0.0.1", "port": 50000 + n} for n in (1, 2)]}
LIST = f"{JOB}/listRemoteLoginInformation"


@pytest.fixture
def ran(monkeypatch) -> list:
    """What was to be run over SSH: (node, credentials, command, forwards)."""
    calls = []
    monkeypatch.setattr("azext_batchai.ssh.connection.run", lambda *call: calls.append(call) or 7)
    return calls


@pytest.fixture
def cluster(server):
    account = {"userAccountSettings": {"adminUserName": "demo"}}
    server.on("GET", JOB, job("running"))
    server.on("GET", CLUSTER, Answer(200, {"id": CLUSTER, "name": "c", "properties": account}))


@pytest.mark.swagger
def test_list(az, server):
    server.expect("POST", LIST, Answer(200, LOGINS), query={"api-version": "2018-05-01"}, body=None)
    done = az("batchai", "job", "node", "list", *OF_JOB, "-o", "table")
    assert [line.split() for line in done.output.splitlines()[2:]] == [
        ["tvm-1", "127.0.0.1", "50001"],
        ["tvm-2", "127.0.0.1", "50002"],
    ]


@pytest.mark.swagger
@pytest.mark.parametrize(("options", "node"), [((), "tvm-1"), (("-n", "tvm-2"), "tvm-2")])
def test_exec(az, server, cluster, ran, options, node):
    server.on("POST", LIST, Answer(200, LOGINS))
    done = az("batchai", "job", "node", "exec", *OF_JOB, *options, "--exec", "ls '$x'", "-L", "0:h:80", "-L", "/s:/t")
    assert done.code == 7, done.stderr
    ((where, credentials, command, forwards),) = ran
    assert (where.node_id, where.user_name, command) == (node, "demo", "ls '$x'")
    assert [str(forward.remote) for forward in forwards] == ["h:80", "/t"]
    assert credentials.key_file is None


@pytest.mark.invented
@pytest.mark.parametrize(
    ("logins", "options", "message"),
    [
        ({"value": []}, (), "Job 'j' has no nodes now."),
        (LOGINS, ("-n", "tvm-9"), "Job 'j' has no node 'tvm-9'."),
    ],
)
def test_no_such_node(az, server, cluster, ran, logins, options, message):
    server.on("POST", LIST, Answer(200, logins))
    done = az("batchai", "job", "node", "exec", *OF_JOB, *options, "--exec", "ls")
    assert done.code == 3
    assert message in done.stderr
    assert not ran


def test_no_such_job(az, server):
    server.expect("GET", JOB, JOB_NOT_FOUND)
    assert az("batchai", "job", "node", "exec", *OF_JOB, "--exec", "ls").code == 3


def test_nothing_to_do(az, server):
    done = az("batchai", "job", "node", "exec", *OF_JOB)
    assert done.code == 1
    assert "neither --exec nor --address/-L" in done.stderr
    assert not server.requests


@pytest.mark.parametrize("noun", ["job", "cluster"])
def test_password_is_asked_for(az, server, cluster, ran, monkeypatch, noun):
    """Or taken from the environment: test_node_exec.py."""
    asked = []
    monkeypatch.setattr("knack.prompting.verify_is_a_tty", lambda: None)
    monkeypatch.setattr("getpass.getpass", lambda question, *_: asked.append(question) or "typed")
    server.on("POST", LIST, Answer(200, LOGINS))
    server.on("POST", f"{CLUSTER}/listRemoteLoginInformation", Answer(200, LOGINS))
    where = OF_JOB if noun == "job" else ("-g", "g", "-w", "w", "-c", "c")
    assert az("batchai", noun, "node", "exec", *where, "--exec", "ls", "-p", "-").code == 7
    assert ran[0][1].password == "typed"
    assert asked == ["Password of demo on node tvm-1: "]
