"""The pages of a workspace and of a file server, and what is used: over HTTP, and how they look."""

import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from harness.processes import wait_until
from harness.service import Service
from ui.looks import looks_right
from ui.visitor import Answer, Visitor
from wire.api import SUBSCRIPTION, USER, Api

pytestmark = pytest.mark.invented

SERVER = {
    "vmSize": "Standard_D1",
    "sshConfiguration": {"userAccountSettings": USER},
    "dataDisks": {"diskSizeInGB": 10, "diskCount": 2, "storageAccountType": "Standard_LRS"},
}


@pytest.fixture(scope="module")
def lab(service: Service) -> Iterator[Api]:
    """A workspace with the file server `nfs`, the cluster `c` that mounts it, and the experiment `exp` with a job."""
    api = Api(service, f"ws-{uuid.uuid4().hex[:8]}")
    make_server(api, "nfs")
    mounts = {
        **api.mounts(),
        "fileServers": [{"fileServer": {"id": f"{api.workspace}/fileServers/nfs"}, "relativeMountPath": "nfs"}],
    }
    api.create_cluster("c", 1, nodeSetup={"mountVolumes": mounts})
    api.wait_for_cluster("c", idle=1)
    api.create_job("runs", "sleep 1000", cluster="c")
    api.wait_for_job("runs", "running")
    yield api
    api.call("DELETE", f"{api.workspace}/clusters/c")


def make_server(api: Api, name: str) -> None:
    status, headers, body = api.call("PUT", f"{api.workspace}/fileServers/{name}", {"properties": SERVER})
    assert status == 202, body
    assert api.finish(headers)["status"] == "Succeeded"


def address(api: Api, *words: str) -> str:
    name = api.workspace.rpartition("/")[2]
    return "/".join((f"/ui/subscriptions/{SUBSCRIPTION}/groups/lab/workspaces/{name}", *words))


def links(answer: Answer) -> dict[str, str]:
    found = re.findall(r'<a [^>]*?href="([^"]*)"[^>]*>(.*?)</a>', answer.text, re.DOTALL)
    return {re.sub("<[^>]*>", "", words): address.replace("&amp;", "&") for address, words in found}


def test_a_workspace_leads_to_what_is_in_it(visitor: Visitor, lab: Api) -> None:
    page = visitor.get(address(lab))
    found = links(page)
    assert found["c"] == address(lab, "clusters", "c")
    assert found["exp"] == address(lab, "experiments", "exp")
    assert found["nfs"] == address(lab, "fileservers", "nfs")
    assert "1 running, 0 queued" in page.shown
    assert "exp 1 " in page.shown
    name = lab.workspace.rpartition("/")[2]
    assert f"az batchai workspace delete --subscription {SUBSCRIPTION} -g lab -n {name}" in page.shown
    assert links(visitor.get(found["c"]))[name] == address(lab)


def test_an_empty_workspace(visitor: Visitor, service: Service) -> None:
    path = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/lab/providers/Microsoft.BatchAI/workspaces/bare"
    service.request("PUT", f"{path}?api-version=2018-05-01", {"location": "westus2", "tags": {"team": "<b>us</b>"}})
    page = visitor.get(f"/ui/subscriptions/{SUBSCRIPTION}/groups/lab/workspaces/bare")
    for text in ("No clusters yet.", "No experiments yet.", "No file servers yet.", "westus2", "team=<b>us</b>"):
        assert text in page.shown
    assert visitor.get(f"/ui/subscriptions/{SUBSCRIPTION}/groups/lab/workspaces/nobody").status == 404


def test_many_experiments_a_page_at_a_time(visitor: Visitor, service: Service) -> None:
    api = Api(service, f"ws-{uuid.uuid4().hex[:8]}")
    for number in range(52):
        assert api.call("PUT", f"{api.workspace}/experiments/e{number:02}")[0] == 200
    page = visitor.get(address(api))
    assert "e48" in links(page) and "e49" not in links(page)
    rest = visitor.get(links(page)["More"].partition("#")[0])
    assert [name for name in links(rest) if name.startswith("e")] == ["e49", "e50", "e51"]
    assert links(rest)["From the first"] == f"{address(api)}#experiments"
    assert visitor.get(f"{address(api)}?experiments=nonsense").status == 400


def test_a_file_server(visitor: Visitor, lab: Api) -> None:
    page = visitor.get(address(lab, "fileservers", "nfs"))
    port = lab.properties(f"{lab.workspace}/fileServers/nfs")["mountSettings"]["fileServerPublicPort"]
    assert "2 × 10 GB Standard_LRS" in page.shown
    assert f"ssh {USER['adminUserName']}@127.0.0.1 -p {port}" in page.shown
    assert links(page)["c"] == address(lab, "clusters", "c")
    assert "$AZ_BATCHAI_MOUNT_ROOT/nfs" in page.shown
    assert USER["adminUserPassword"] not in page.text
    cluster = visitor.get(address(lab, "clusters", "c"))
    assert links(cluster)["nfs"] == address(lab, "fileservers", "nfs")


def test_deleting_a_file_server(visitor: Visitor, lab: Api) -> None:
    make_server(lab, "goes")
    page = address(lab, "fileservers", "goes")
    assert "No cluster mounts it." in visitor.get(page).shown
    assert visitor.post(f"{page}/delete", {"token": "x"}).status == 403
    assert visitor.get(page).status == 200
    answer = visitor.submit(page, f"{page}/delete")
    assert (answer.status, answer.headers["location"]) == (303, address(lab))
    wait_until(lambda: visitor.get(page).status == 404, "the file server is gone")


@pytest.mark.parametrize("span", ["hour", "day", "week"])
def test_usage(visitor: Visitor, lab: Api, span: str) -> None:
    page = visitor.get(f"/ui/usage?span={span}")
    workspace = lab.workspace.rpartition("/")[2]
    assert f"Node-hours of clusters in the last {span}" in page.shown
    assert links(page)[f"{workspace} / c"] == address(lab, "clusters", "c")
    assert links(page)[f"{workspace} / exp"] == address(lab, "experiments", "exp")


def test_quotas_of_which_something_is_used_come_first(visitor: Visitor, lab: Api) -> None:
    shown = visitor.get(f"/ui/subscriptions/{SUBSCRIPTION}/usage").shown
    used, _, unused = shown.partition("Quotas in eastus")[2].partition("that nothing is used of")
    assert "Standard D Family Cluster Dedicated vCPUs" in used
    assert "Standard D Family Cluster Dedicated vCPUs" not in unused.partition("az batchai list-usages")[0]
    assert "Standard NC Family Cluster Low Priority vCPUs" in unused
    assert f"az batchai list-usages --subscription {SUBSCRIPTION} -l eastus -o table" in unused


def test_time_of_a_cluster_that_is_gone(visitor: Visitor, lab: Api) -> None:
    lab.create_cluster("past", 1)
    lab.wait_for_cluster("past", idle=1)
    assert lab.finish(lab.call("DELETE", f"{lab.workspace}/clusters/past")[1])["status"] == "Succeeded"
    page = visitor.get("/ui/usage")
    assert "past (deleted)" in page.shown
    assert not [name for name in links(page) if name.endswith("past")]


@pytest.mark.parametrize(("name", "words"), [("workspace", ()), ("file-server", ("fileservers", "nfs"))])
def test_how_they_look(signed_in: tuple[Any, str], lab: Api, name: str, words: tuple[str, ...]) -> None:
    page, base = signed_in
    page.goto(f"{base}{address(lab, *words)}")
    looks_right(page, name)


def test_how_usage_looks(signed_in: tuple[Any, str], lab: Api) -> None:
    page, base = signed_in
    page.goto(f"{base}/ui/subscriptions/{SUBSCRIPTION}/usage")
    page.locator("summary").first.click()
    looks_right(page, "usage")


def test_a_workspace_follows_what_happens(signed_in: tuple[Any, str], lab: Api) -> None:
    page, base = signed_in
    page.goto(f"{base}{address(lab)}")
    page.get_by_text("1 running, 0 queued").wait_for()
    lab.create_job("waits", cluster="c")
    page.get_by_text("1 running, 1 queued").wait_for()
    lab.call("DELETE", lab.job("waits"))
    page.get_by_text("1 running, 0 queued").wait_for()
