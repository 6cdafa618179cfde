"""The page of a cluster, over real nodes: what it shows, and what can be done about it there."""

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

# Longer than what is read of it, and with something to break out of.
SETUP = "echo '<script>alert(1)</script>'; yes filler | head -n 9999; echo the end; echo $TOKEN | wc -c >&2"


@pytest.fixture(scope="module")
def lab(service: Service) -> Iterator[Api]:
    """The cluster `two` with a setup task, on which a job runs and others wait; `none` without nodes; `bad`."""
    api = Api(service, f"ws-{uuid.uuid4().hex[:8]}")
    task = {
        "commandLine": SETUP,
        "stdOutErrPathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/afs",
        "environmentVariables": [{"name": "COLOUR", "value": "blue"}],
        "secrets": [{"name": "TOKEN", "value": "not-for-the-page"}],
    }
    api.create_cluster("two", 2, nodeSetup={"mountVolumes": api.mounts(), "setupTask": task})
    api.create_cluster("none", 0)
    failing = {"commandLine": "echo one >&2; echo no such package >&2; exit 3"}
    failing["stdOutErrPathPrefix"] = "$AZ_BATCHAI_NODE_LOG_DIR"
    api.create_cluster("bad", 2, nodeSetup={"setupTask": failing})
    api.wait_for_cluster("two", idle=2)
    api.wait_for_cluster("bad", unusable=2)
    api.create_job("runs", "sleep 1000", cluster="two")
    api.wait_for_job("runs", "running")
    api.create_job("large", cluster="two", nodeCount=5)
    yield api
    for name in ("two", "none", "bad"):
        api.call("DELETE", f"{api.workspace}/clusters/{name}")


def address(api: Api, *words: str) -> str:
    name = api.workspace.rpartition("/")[2]
    return "/".join((f"/ui/subscriptions/{SUBSCRIPTION}/groups/lab/workspaces/{name}", *words))


def cluster(api: Api, name: str) -> str:
    return address(api, "clusters", name)


def nodes(api: Api, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.call("POST", f"{api.workspace}/clusters/{name}/listRemoteLoginInformation")[2][
        "value"
    ]
    return found


def words_of(api: Api, name: str, flag: str = "-n") -> str:
    return f"--subscription {SUBSCRIPTION} -g lab -w {api.workspace.rpartition('/')[2]} {flag} {name}"


def links(answer: Answer) -> dict[str, str]:
    found = re.findall(r'<a [^>]*?href="([^"]*)"[^>]*>(.*?)</a>', answer.text, re.DOTALL)
    return {re.sub("<[^>]*>", "", words): address.replace("&amp;", "&") for address, words in found}


def test_nodes_with_what_they_do_and_how_to_log_in(visitor: Visitor, lab: Api) -> None:
    page = visitor.get(cluster(lab, "two"))
    first, second = nodes(lab, "two")
    assert "1 running, 1 idle" in page.shown
    assert f"127.0.0.1:{second['port']}" in page.shown
    assert f"ssh {USER['adminUserName']}@127.0.0.1 -p {first['port']}" in page.shown
    assert f"az batchai cluster node ssh {words_of(lab, 'two', '-c')} -n {first['nodeId']}" in page.shown
    other = visitor.get(links(page)[second["nodeId"]].partition("#")[0])
    assert f"ssh {USER['adminUserName']}@127.0.0.1 -p {second['port']}" in other.shown
    assert USER["adminUserPassword"] not in page.text


def test_jobs_that_run_and_that_wait_with_the_reason(visitor: Visitor, lab: Api) -> None:
    page = visitor.get(cluster(lab, "two"))
    assert "it needs 5 nodes, and two is set to 2 at most" in page.shown
    assert "1 job waiting, in their order" in page.shown
    assert links(page)["exp / runs"] == address(lab, "experiments", "exp", "jobs", "runs")


def test_what_the_setup_task_said_is_shown_as_text_and_its_secret_not(visitor: Visitor, lab: Api) -> None:
    page = visitor.get(cluster(lab, "two"))
    assert SETUP in page.shown
    assert "COLOUR" in page.shown
    assert "not-for-the-page" not in page.text
    assert "Secrets, not shown: TOKEN" in page.shown
    assert "filler the end" in page.shown
    assert "The last of 70 kB filler filler" in page.shown
    assert len(page.content) < 100_000
    assert "<script>alert" not in page.text
    assert f"az batchai cluster file list {words_of(lab, 'two', '-c')}" in page.shown
    file = links(page)["The file"]
    assert "17" in visitor.get(file).text
    assert f"{lab.account}/files/share/" in file
    assert file.endswith(f"stderr-{nodes(lab, 'two')[0]['nodeId']}.txt")


def test_mounts(visitor: Visitor, lab: Api) -> None:
    page = visitor.get(cluster(lab, "two"))
    assert f"{lab.account}" in visitor.get(links(page)[f"{lab.account} / share"]).shown
    assert "c2VjcmV0LWtleQ" not in page.text


def test_unusable_nodes_tell_why(visitor: Visitor, lab: Api) -> None:
    page = visitor.get(cluster(lab, "bad"))
    first, second = (node["nodeId"] for node in nodes(lab, "bad"))
    assert "2 unusable" in page.shown
    assert f"The setup task failed with a non-zero exit code SetupTaskFailed On {first}, {second}" in page.shown
    assert page.shown.count("SetupTaskFailed") == 1
    # In the details of the error, and what was written into the node's own folder of logs.
    assert page.shown.count("one no such package") == 2
    assert f"-n {first} --exec" in page.shown


def test_a_cluster_without_nodes(visitor: Visitor, lab: Api) -> None:
    page = visitor.get(cluster(lab, "none"))
    assert "The cluster has no node now." in page.shown
    assert "The cluster had no node in the last hour." in page.shown
    assert "Nothing runs here and nothing waits." in page.shown


@pytest.mark.parametrize("span", ["hour", "day", "week"])
def test_states_over_time(visitor: Visitor, lab: Api, span: str) -> None:
    page = visitor.get(f"{cluster(lab, 'bad')}?span={span}")
    assert re.search(r"unusable [\d.]+ node-\w+ \(\d+ %\)", page.shown)
    assert f'aria-label="Nodes by state over the last {span}: ' in page.text
    assert "How many nodes there were on average" in page.shown
    assert f'aria-current="true">{span.capitalize()}</a>' in page.text


@pytest.mark.parametrize("query", ["span=year", "node=nobody", "from=x", "from=999999999", "from=-1"])
def test_a_query_that_makes_no_sense_is_none(visitor: Visitor, lab: Api, query: str) -> None:
    assert visitor.get(f"{cluster(lab, 'two')}?{query}").status == 200


def test_no_such_cluster(visitor: Visitor, lab: Api) -> None:
    assert visitor.get(cluster(lab, "nobody")).status == 404
    assert visitor.post(f"{cluster(lab, 'nobody')}/delete", {"token": "x"}).status == 403


def scale_of(api: Api, name: str) -> dict[str, Any]:
    found: dict[str, Any] = api.properties(f"{api.workspace}/clusters/{name}")["scaleSettings"]
    return found


def test_resizing(visitor: Visitor, lab: Api) -> None:
    page, action = cluster(lab, "none"), f"{cluster(lab, 'none')}/scale"
    assert f"az batchai cluster resize {words_of(lab, 'none')} --target 0" in visitor.get(page).shown
    answer = visitor.submit(page, action, min="0", max="3")
    assert (answer.status, answer.headers["location"]) == (303, page)
    assert scale_of(lab, "none")["autoScale"]["maximumNodeCount"] == 3
    assert "0 to 3 nodes" in visitor.get(page).shown
    assert visitor.submit(page, action, target="1").status == 303
    assert scale_of(lab, "none") == {"manual": {"targetNodeCount": 1, "nodeDeallocationOption": "requeue"}}
    lab.wait_for_cluster("none", idle=1)
    assert visitor.submit(page, action, target="0").status == 303
    lab.wait_for_cluster("none")


def test_what_happens_to_jobs_of_nodes_that_go_is_kept(visitor: Visitor, lab: Api) -> None:
    settings = {"manual": {"targetNodeCount": 0, "nodeDeallocationOption": "waitforjobcompletion"}}
    lab.call("PATCH", f"{lab.workspace}/clusters/none", {"properties": {"scaleSettings": settings}})
    assert visitor.submit(cluster(lab, "none"), f"{cluster(lab, 'none')}/scale", target="0").status == 303
    assert scale_of(lab, "none") == settings


@pytest.mark.parametrize(
    "form",
    [{"target": "x"}, {"target": "-1"}, {"target": ""}, {"target": "1001"}, {"min": "4", "max": "3"}, {"min": "1"}],
)
def test_numbers_that_are_none(visitor: Visitor, lab: Api, form: dict[str, str]) -> None:
    before = scale_of(lab, "none")
    answer = visitor.submit(cluster(lab, "none"), f"{cluster(lab, 'none')}/scale", **form)
    assert answer.status == 400
    assert "That did not work" in answer.shown
    assert scale_of(lab, "none") == before


def test_nothing_changes_without_the_token(visitor: Visitor, lab: Api) -> None:
    before = scale_of(lab, "none")
    assert visitor.post(f"{cluster(lab, 'none')}/scale", {"target": "1", "token": "x"}).status == 403
    assert visitor.post(f"{cluster(lab, 'none')}/delete", {}).status == 403
    assert scale_of(lab, "none") == before


def test_deleting(visitor: Visitor, lab: Api) -> None:
    lab.create_cluster("goes", 1)
    page = cluster(lab, "goes")
    assert f"az batchai cluster delete {words_of(lab, 'goes')} --yes" in visitor.get(page).shown
    answer = visitor.submit(page, f"{page}/delete")
    assert (answer.status, answer.headers["location"]) == (303, "/ui/")
    wait_until(lambda: visitor.get(page).status == 404, "the cluster is gone")


def test_many_nodes_a_page_at_a_time(visitor: Visitor, lab: Api) -> None:
    lab.create_cluster("many", 23)
    lab.wait_for_cluster("many", idle=23)
    page = visitor.get(cluster(lab, "many"))
    assert "Nodes 1 to 20 of 23" in page.shown
    assert page.text.count('<li class="cell idle"') == 23
    rest = visitor.get(links(page)["More nodes"].partition("#")[0])
    assert "Nodes 21 to 23 of 23" in rest.shown
    assert "Earlier nodes" in rest.shown and "More nodes" not in rest.shown
    lab.call("DELETE", f"{lab.workspace}/clusters/many")


def test_what_cannot_be_mounted(visitor: Visitor, lab: Api) -> None:
    lab.create_cluster("wrong", 1, nodeSetup={"mountVolumes": lab.mounts("nowhere")})
    lab.wait_for_cluster("wrong", unusable=1)
    page = visitor.get(cluster(lab, "wrong"))
    assert "Unable to mount Azure File" in page.shown
    assert "Azure File Share 'nowhere'" in page.shown
    lab.call("DELETE", f"{lab.workspace}/clusters/wrong")


def test_it_follows_what_happens(signed_in: tuple[Any, str], lab: Api) -> None:
    page, base = signed_in
    page.goto(f"{base}{cluster(lab, 'two')}")
    page.get_by_text("1 running, 1 idle").wait_for()
    lab.create_job("next", "sleep 1000", cluster="two", schedulingPriority="high")
    page.get_by_text("2 running").first.wait_for()
    page.locator("#jobs").get_by_text("2 jobs on nodes").wait_for()
    lab.call("DELETE", lab.job("next"))
    page.get_by_text("1 running, 1 idle").wait_for()


def test_a_form_says_its_line_and_does_it(signed_in: tuple[Any, str], lab: Api) -> None:
    page, base = signed_in
    page.goto(f"{base}{cluster(lab, 'none')}")
    page.get_by_role("button", name="Resize…").click()
    asked = page.locator("#ask-resize")
    asked.get_by_label("Nodes").fill("1")
    line = f"az batchai cluster resize {words_of(lab, 'none')} --target 1"
    asked.get_by_text(line).wait_for()
    assert asked.locator("[data-copy]").get_attribute("data-copy") == line
    asked.get_by_role("button", name="Resize", exact=True).click()
    page.get_by_text("1 idle").wait_for()
    settings = {"manual": {"targetNodeCount": 0}}
    lab.call("PATCH", f"{lab.workspace}/clusters/none", {"properties": {"scaleSettings": settings}})
    page.get_by_text("The cluster has no node now.").wait_for()


@pytest.mark.parametrize("name", ["two", "bad", "none"])
def test_how_it_looks(signed_in: tuple[Any, str], lab: Api, name: str) -> None:
    page, base = signed_in
    page.goto(f"{base}{cluster(lab, name)}?span=day")
    page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true; })")
    looks_right(page, f"cluster-{name}")
