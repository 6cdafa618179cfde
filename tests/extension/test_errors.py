"""Errors of the service on the command line: the exit code, the service's words, and what to do."""

import pytest

from extension.scripted import SUBSCRIPTION, Answer

IN_WORKSPACE = ("-g", "g", "-w", "w")
WORKSPACE = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/g/providers/Microsoft.BatchAI/workspaces/w"


def fault(status: int, code: str, message: str = "What the service says.") -> Answer:
    return Answer(status, {"error": {"code": code, "message": message}})


@pytest.mark.parametrize(
    ("status", "code", "exit_code", "advice"),
    [
        (404, "ClusterNotFound", 3, "az batchai cluster list -g g -w w -o table"),
        (404, "WorkspaceNotFound", 3, "az batchai workspace create -g g -n w -l LOCATION"),
        (404, "ResourceGroupNotFound", 3, "az group create -n g -l LOCATION"),
        (400, "InvalidParameter", 1, ""),
        (401, "AuthenticationFailed", 1, "batchai.token"),
        (403, "AuthorizationFailed", 1, ""),
        (409, "ClusterQuotaReached", 1, "az batchai list-usages"),
        (501, "NotImplemented", 1, ""),
    ],
)
@pytest.mark.parametrize("verb", ["show", "resize"])
def test_error_of_the_service(az, server, status, code, exit_code, advice, verb):
    method = "GET" if verb == "show" else "PATCH"
    server.expect(method, f"{WORKSPACE}/clusters/c", fault(status, code))
    more = ("--target", "1") if verb == "resize" else ()
    done = az("batchai", "cluster", verb, *IN_WORKSPACE, "-n", "c", *more)
    assert done.code == exit_code
    lines = done.stderr.splitlines()
    assert lines[0] == f"ERROR: What the service says. ({code})"
    assert advice in "\n".join(lines[1:])
    assert done.output == ""


def test_error_of_an_operation(az, server):
    operation = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.BatchAI/locations/l/operationresults/1"
    url = f"{server.url}{operation}?api-version=2018-05-01"
    server.expect("DELETE", f"{WORKSPACE}/clusters/c", Answer(202, None, {"Azure-AsyncOperation": url}))
    failed = {"status": "Failed", "error": {"code": "Broken", "message": "It broke."}}
    server.expect("GET", operation, Answer(200, failed))
    done = az("batchai", "cluster", "delete", *IN_WORKSPACE, "-n", "c", "-y")
    assert done.code == 1
    assert done.stderr == "ERROR: It broke. (Broken)\n"


def test_answer_that_is_no_arm(az, server):
    server.expect("GET", f"{WORKSPACE}/clusters", Answer(404, b"<html>"))
    done = az("batchai", "cluster", "list", *IN_WORKSPACE)
    assert done.code == 3
    assert done.stderr.startswith("ERROR: ")
    assert "Traceback" not in done.stderr


def test_details_are_told(az, server):
    details = [{"code": "Inner", "message": "The inner reason."}]
    error = {"code": "MultipleErrorsOccurred", "message": "Multiple error occurred.", "details": details}
    server.expect("GET", f"{WORKSPACE}/clusters/c", Answer(409, {"error": error}))
    done = az("batchai", "cluster", "show", *IN_WORKSPACE, "-n", "c")
    assert done.stderr == "ERROR: Multiple error occurred. The inner reason. (MultipleErrorsOccurred)\n"


def test_nobody_listens(az, monkeypatch):
    monkeypatch.setenv("AZURE_BATCHAI_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("AZURE_BATCHAI_TOKEN", "t")
    done = az("batchai", "cluster", "list", *IN_WORKSPACE)
    assert done.code == 1
    assert "The Batch AI service cannot be reached" in done.stderr
    assert "AZURE_BATCHAI_ENDPOINT" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "path", "message"),
    [
        (
            ("cluster", "create", *IN_WORKSPACE, "-n", "x", "-s", "s", "-t", "1", "-p", "pw"),
            f"{WORKSPACE}/clusters/x",
            "A cluster named x exists already in workspace w (resource group g).",
        ),
        (
            ("job", "create", *IN_WORKSPACE, "-e", "e", "-n", "x", "-c", "c", "-f", "job.json"),
            f"{WORKSPACE}/experiments/e/jobs/x",
            "A job named x exists already in experiment e of workspace w (resource group g).",
        ),
        (
            (
                *("file-server", "create", *IN_WORKSPACE, "-n", "x", "-s", "s", "-p", "pw"),
                *("--disk-count", "1", "--disk-size", "1", "--storage-sku", "Standard_LRS"),
            ),
            f"{WORKSPACE}/fileServers/x",
            "A file server named x exists already in workspace w (resource group g).",
        ),
    ],
)
def test_what_exists_is_not_created_again(az, server, write_json, monkeypatch, tmp_path, arguments, path, message):
    write_json("job.json", {"nodeCount": 1})
    monkeypatch.chdir(tmp_path)
    server.expect("GET", path, Answer(200, {"id": path, "name": "x", "properties": {}}))
    done = az("batchai", *arguments)
    assert done.code == 1
    assert message in done.stderr


def test_nothing_is_created_where_the_workspace_is_missing(az, server):
    server.expect("GET", f"{WORKSPACE}/clusters/c", fault(404, "WorkspaceNotFound"))
    done = az("batchai", "cluster", "create", *IN_WORKSPACE, "-n", "c", "-s", "s", "-t", "1", "-p", "pw")
    assert done.code == 3


def test_workspace_without_location_or_group(az, server):
    server.expect("GET", f"/subscriptions/{SUBSCRIPTION}/resourceGroups/g", fault(404, "ResourceGroupNotFound"))
    done = az("batchai", "workspace", "create", "-g", "g", "-n", "w")
    assert done.code == 3
    assert "az group create -n g -l LOCATION" in done.stderr


def test_deleted_meanwhile_is_deleted(az, server):
    operation = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.BatchAI/locations/l/operationresults/1"
    url = f"{server.url}{operation}?api-version=2018-05-01"
    server.expect("DELETE", f"{WORKSPACE}/clusters/c", Answer(202, None, {"Azure-AsyncOperation": url}))
    server.expect("GET", operation, fault(404, "NotFound"))
    assert az("batchai", "cluster", "delete", *IN_WORKSPACE, "-n", "c", "-y").code == 0


@pytest.mark.parametrize("noun", ["cluster", "file-server"])
def test_no_wait(az, server, noun):
    kind = {"cluster": "clusters", "file-server": "fileServers"}[noun]
    url = f"{server.url}/never-asked-for"
    server.expect("DELETE", f"{WORKSPACE}/{kind}/c", Answer(202, None, {"Azure-AsyncOperation": url}))
    done = az("batchai", noun, "delete", *IN_WORKSPACE, "-n", "c", "-y", "--no-wait")
    assert (done.code, done.output) == (0, "")
