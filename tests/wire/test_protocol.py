"""What holds for every operation: names and paths, headers, paging and replay beyond what the resources' tests show."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from wire.api import GROUP, SUBSCRIPTION, USER, Api

SERVER: dict[str, Any] = {
    "properties": {
        "vmSize": "STANDARD_D1",
        "sshConfiguration": {"userAccountSettings": USER},
        "dataDisks": {"diskSizeInGB": 10, "diskCount": 2, "storageAccountType": "Standard_LRS"},
    }
}
PROVIDER = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.BatchAI"


def send(api: Api, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
    """One request with headers of the test's own; `path` goes over the wire as it stands."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{api.service.info['endpoint']}{path}?api-version=2018-05-01", data, headers)
    request.method = method
    request.add_header("Authorization", f"Bearer {api.service.info['token']}")
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, exc.headers, json.loads(exc.read())


@pytest.mark.swagger
@pytest.mark.operation("Operations_List")
def test_the_provider_says_what_it_can_do(api: Api) -> None:
    status, _, body = api.call("GET", "/providers/Microsoft.BatchAI/operations")
    names = [operation["name"] for operation in body["value"]]
    assert status == 200
    assert "Microsoft.BatchAI/workspaces/experiments/jobs/terminate/action" in names
    assert len(set(names)) == len(names)


@pytest.mark.swagger
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("name", ["a%20b", "a.b", "%C3%A4", "x" * 65, "a%2Fb", "a%252Fb", "known%2F"])
@pytest.mark.parametrize(
    ("child", "noun"),
    [
        ("", "workspace"),
        ("/clusters/{}", "cluster"),
        ("/experiments/{}", "experiment"),
        ("/experiments/exp/jobs/{}", "job"),
        ("/fileServers/{}", "fileServer"),
    ],
)
def test_names_are_checked_whatever_is_asked(api: Api, child: str, noun: str, name: str, method: str) -> None:
    path = f"{api.workspace}{child.format(name)}" if child else f"{api.workspace.rpartition('/')[0]}/{name}"
    status, _, answer = send(api, method, path, {} if method == "PUT" else None)
    error = answer["error"]
    assert (status, error["code"], error["target"]) == (400, "InvalidResourceName", f"{noun}Name")
    assert noun in error["message"]


@pytest.mark.invented
def test_an_encoded_slash_does_not_end_a_name(api: Api) -> None:
    """`workspaces/w%2F` is no other spelling of `workspaces/w`: deleting it deletes nothing."""
    assert send(api, "DELETE", f"{api.workspace}%2F")[0] == 400
    assert api.call("GET", api.workspace)[0] == 200


@pytest.mark.swagger
@pytest.mark.parametrize("group", ["a(b)", "a%20b", "%C3%A4", "x" * 91, "a%2Fb"])
def test_group_names_are_checked(api: Api, group: str) -> None:
    scope = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}"
    status, _, answer = send(api, "GET", f"{scope}/providers/Microsoft.BatchAI/workspaces")
    assert (status, answer["error"]["code"]) == (400, "InvalidResourceGroup")


@pytest.mark.swagger
@pytest.mark.operation("Usages_List")
@pytest.mark.parametrize("location", ["east%20us", "a%2Fb", "%C3%A4"])
def test_locations_are_checked(api: Api, location: str) -> None:
    status, _, answer = send(api, "GET", f"{PROVIDER}/locations/{location}/usages")
    assert (status, answer["error"]["code"], answer["error"]["target"]) == (400, "InvalidLocation", "location")


@pytest.mark.invented
def test_a_patch_needs_a_body(api: Api) -> None:
    assert send(api, "PATCH", api.workspace)[2]["error"]["target"] == "tags"
    assert send(api, "PATCH", f"{api.workspace}/clusters/c")[0] == 404


@pytest.mark.invented
def test_clients_of_whole_seconds_need_not_wait(api: Api) -> None:
    """msrest sleeps 30 s between polls without Retry-After and takes a 0; azure-core reads retry-after-ms."""
    url = f"{api.workspace}/fileServers/nfs"
    old = send(api, "PUT", url, SERVER, **{"User-Agent": "python/3.6 (Linux) msrest/0.5.4 azure-mgmt-batchai/2.0.0"})
    assert (old[0], old[1]["retry-after"]) == (202, "0")
    new = send(api, "DELETE", url, **{"User-Agent": "azsdk-python-mgmt-batchai/7.0.0 Python/3.11"})
    assert (new[0], "retry-after" in new[1], int(new[1]["retry-after-ms"]) > 0) == (202, False, True)


@pytest.mark.invented
@pytest.mark.operation("FileServers_Create")
def test_another_file_server_of_the_same_name_is_a_conflict(api: Api) -> None:
    url = f"{api.workspace}/fileServers/nfs"
    api.finish(api.call("PUT", url, SERVER)[1])
    assert api.call("PUT", url.upper().replace("/SUBSCRIPTIONS/", "/subscriptions/"), SERVER)[0] == 200
    other = {"properties": {**SERVER["properties"], "vmSize": "STANDARD_D2"}}
    status, _, body = api.call("PUT", url, other)
    assert (status, body["error"]["code"]) == (409, "Conflict")


@pytest.mark.recorded
@pytest.mark.operation("Experiments_Create")
def test_a_second_put_of_an_experiment_gives_the_first(api: Api) -> None:
    first = api.call("GET", f"{api.workspace}/experiments/exp")[2]
    assert api.call("PUT", f"{api.workspace}/experiments/EXP")[2] == first


@pytest.mark.invented
@pytest.mark.parametrize("child", ["clusters/cluster", "experiments/exp", "fileServers/nfs"])
def test_a_deletion_asked_for_twice_is_one_operation(api: Api, child: str) -> None:
    if child.startswith("clusters"):
        api.create_cluster()
        api.create_job("running", "sleep 1000")
        api.wait_for_job("running", "running")
    elif child.startswith("fileServers"):
        api.finish(api.call("PUT", f"{api.workspace}/{child}", SERVER)[1])
    _, headers, _ = api.call("DELETE", f"{api.workspace}/{child}")
    status, again, _ = api.call("DELETE", f"{api.workspace}/{child}")
    assert status == 204 or again["azure-asyncoperation"] == headers["azure-asyncoperation"]
    assert api.finish(headers)["status"] == "Succeeded"
    assert api.call("DELETE", f"{api.workspace}/{child}")[0] == 204


def pages(api: Api, path: str, size: int) -> Iterator[list[str]]:
    status, _, body = api.call("GET", path, query=f"&maxresults={size}")
    while True:
        assert status == 200
        yield [item["name"] for item in body["value"]]
        if "nextLink" not in body:
            return
        status, _, body = api.service.request("GET", body["nextLink"][len(api.service.info["endpoint"]) :])


@pytest.mark.swagger
@pytest.mark.operation(
    "Clusters_ListByWorkspace", "Jobs_ListByExperiment", "FileServers_ListByWorkspace", "Workspaces_ListByResourceGroup"
)
def test_every_list_is_paged(api: Api) -> None:
    api.create_cluster("c0", nodes=0)
    api.create_cluster("c1", nodes=0)
    for number in range(3):
        api.create_job(f"j{number}", cluster="c0")
        api.finish(api.call("PUT", f"{api.workspace}/fileServers/f{number}", SERVER)[1])
    assert list(pages(api, f"{api.workspace}/clusters", 1)) == [["c0"], ["c1"]]
    assert list(pages(api, f"{api.workspace}/experiments/exp/jobs", 2)) == [["j0", "j1"], ["j2"]]
    assert list(pages(api, f"{api.workspace}/fileServers", 2)) == [["f0", "f1"], ["f2"]]
    name = api.workspace.rpartition("/")[2]
    for scope in (GROUP, f"/subscriptions/{SUBSCRIPTION}"):
        found = list(pages(api, f"{scope}/providers/Microsoft.BatchAI/workspaces", 1))
        assert [name] in found and all(len(page) == 1 for page in found)


@pytest.mark.invented
@pytest.mark.operation("Jobs_ListOutputFiles")
def test_output_files_of_any_name_are_listed_and_downloaded(api: Api) -> None:
    """A percent sign, a question mark, a space and bytes that are no UTF-8."""
    api.create_cluster()
    names = [b"100%25.txt", b"a?b c#d.txt", b"\xff\xfe.txt", "ä.txt".encode()]
    out = {"id": "OUT", "pathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/afs"}
    words = " ".join("$'" + "".join(f"\\x{byte:02x}" for byte in name) + "'" for name in names)
    command = f'cd $AZ_BATCHAI_OUTPUT_OUT; for name in {words}; do echo hi > "$name"; done'
    api.create_job("job", command, outputDirectories=[out])
    assert api.wait_for_job("job")["executionState"] == "succeeded"
    _, _, body = api.call("POST", f"{api.job('job')}/listOutputFiles", query="&outputdirectoryid=OUT")
    assert {item["name"] for item in body["value"]} == {os.fsencode(name).decode("utf-8", "replace") for name in names}
    for item in body["value"]:
        with urllib.request.urlopen(item["downloadUrl"], timeout=10) as response:
            assert response.read() == b"hi\n"


@pytest.mark.recorded
@pytest.mark.operation("Experiments_Get", "Experiments_ListByWorkspace", "Experiments_Delete")
def test_an_experiment_takes_its_jobs_along_and_leaves_the_cluster(api: Api) -> None:
    api.create_cluster()
    api.create_job("job", "sleep 1000")
    api.wait_for_job("job", "running")
    one = api.call("GET", f"{api.workspace}/experiments/exp")[2]
    assert list(one) == ["id", "name", "type", "properties"]
    assert api.call("GET", f"{api.workspace}/experiments")[2] == {"value": [one]}
    status, headers, _ = api.call("DELETE", f"{api.workspace}/experiments/exp")
    assert (status, api.finish(headers)["status"]) == (202, "Succeeded")
    assert api.call("GET", f"{api.workspace}/experiments")[2] == {"value": []}
    api.wait_for_cluster(idle=1)


@pytest.mark.recorded
@pytest.mark.operation("Clusters_ListRemoteLoginInformation", "Jobs_ListByExperiment")
def test_nodes_are_listed_by_address_and_jobs_by_age(api: Api) -> None:
    api.create_cluster(nodes=2)
    api.wait_for_cluster(idle=2)
    nodes = api.call("POST", f"{api.workspace}/clusters/cluster/listRemoteLoginInformation")[2]["value"]
    assert [list(node) for node in nodes] == [["nodeId", "ipAddress", "port"]] * 2
    assert len({(node["ipAddress"], node["port"]) for node in nodes}) == 2
    for name in ("zeta", "alpha"):
        api.create_job(name)
        api.wait_for_job(name)
    jobs = api.call("GET", f"{api.workspace}/experiments/exp/jobs")[2]["value"]
    assert [job["name"] for job in jobs] == ["zeta", "alpha"]
    assert jobs[0] == api.call("GET", api.job("zeta"))[2]


@pytest.mark.swagger
@pytest.mark.operation("Jobs_ListRemoteLoginInformation")
def test_the_nodes_of_a_job_are_listed_while_it_runs(api: Api) -> None:
    api.create_cluster(nodes=2)
    api.wait_for_cluster(idle=2)
    api.create_job("job", "sleep 1000")
    api.wait_for_job("job", "running")
    [node] = api.call("POST", f"{api.job('job')}/listRemoteLoginInformation")[2]["value"]
    assert node in api.call("POST", f"{api.workspace}/clusters/cluster/listRemoteLoginInformation")[2]["value"]
    api.finish(api.call("POST", f"{api.job('job')}/terminate")[1])
    assert api.call("POST", f"{api.job('job')}/listRemoteLoginInformation")[2] == {"value": []}


VAULT = {"sourceVault": {"id": "/subscriptions/s/vault"}, "secretUrl": "https://vault/secrets/s"}
SECRETS = [{"name": "A", "valueSecretReference": VAULT}]


@pytest.mark.not_supported
@pytest.mark.operation("Clusters_Create")
def test_secrets_of_a_setup_task_in_a_key_vault(api: Api) -> None:
    task = {"commandLine": "true", "stdOutErrPathPrefix": "/tmp", "secrets": SECRETS}
    status, _, answer = api.call("PUT", f"{api.workspace}/clusters/c", api.cluster_body(nodeSetup={"setupTask": task}))
    assert (status, answer["error"]["code"]) == (501, "NotSupported")
    assert "Key Vault" in answer["error"]["message"]
    assert api.call("GET", f"{api.workspace}/clusters")[2] == {"value": []}


@pytest.mark.not_supported
@pytest.mark.operation("Jobs_Create")
def test_secrets_of_a_job_in_a_key_vault(api: Api) -> None:
    api.create_cluster(nodes=0)
    status, _, answer = api.call("PUT", api.job("j"), api.job_body(secrets=SECRETS))
    assert (status, answer["error"]["code"]) == (501, "NotSupported")
    assert "Key Vault" in answer["error"]["message"]
