"""The page of an experiment: its jobs as a table, and side by side by their metrics."""

import json
import re
import uuid
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from harness.processes import wait_until
from harness.service import Service
from ui.looks import looks_right
from ui.visitor import Visitor
from wire.api import Api

pytestmark = pytest.mark.invented
EVIL = "\"'><script>alert(1)</script>"


@pytest.fixture(scope="module")
def experiment(service: Service) -> Api:
    """Jobs that have ended, one that runs and one that waits, with parameters and metrics of all kinds."""
    api = Api(service, f"ws-{uuid.uuid4().hex[:8]}")
    api.create_cluster(nodes=2)
    api.create_cluster("none", nodes=0)
    for number, (lr, model) in enumerate((("0.1", "cnn"), ("0.01", "mlp"), ("1", EVIL))):
        lines = [{"step": step, "loss": (number + 1) / (step + 1), EVIL: step} for step in range(20)]
        lines[-1]["loss"] = float("nan") if number == 2 else lines[-1]["loss"]
        create(api, f"try-{number}", writing(lines, 3 if number == 2 else 0), lr=lr, model=model)
    create(api, "waits", "true", cluster="none", lr="0.5")
    for number in range(3):
        api.wait_for_job(f"try-{number}")
    create(api, "runs", "exec sleep 600", lr="0.25")
    api.wait_for_job("runs", "running")
    return api


def create(api: Api, name: str, command: str, cluster: str = "cluster", **parameters: str) -> None:
    variables = [{"name": f"PARAM_{key.upper()}", "value": value} for key, value in parameters.items()]
    api.create_job(name, command, cluster=cluster, environmentVariables=variables)


def writing(lines: list[dict[str, Any]], code: int) -> str:
    text = "\n".join(json.dumps(line) for line in lines)
    return f"cat > $AZ_BATCHAI_STDOUTERR_DIR/metrics.jsonl <<'END'\n{text}\nEND\nexit {code}"


def address(api: Api, *more: str) -> str:
    return "/".join((f"/ui/groups/lab/workspaces/{api.workspace.rpartition('/')[2]}/experiments/exp", *more))


def elsewhere(api: Api) -> str:
    """The same, of the subscription that the tests use."""
    subscription = api.workspace.split("/")[2]
    return address(api).replace("/ui/", f"/ui/subscriptions/{subscription}/")


def folder(api: Api, job: str) -> Path:
    segment = api.properties(api.job(job))["jobOutputDirectoryPathSegment"]
    made = api.service.home / "storage" / api.account / "files" / "share" / segment / "stdouterr"
    made.mkdir(parents=True, exist_ok=True)
    return made


def table(visitor: Visitor, path: str) -> list[list[str]]:
    """The cells of the jobs' table, as text."""
    text = visitor.get(path).text
    body = text.partition("<tbody>")[2].partition("</tbody>")[0]
    return [
        [unescape(re.sub(r"<[^>]+>", "", cell)) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line, re.DOTALL)]
        for line in re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
    ]


def names(visitor: Visitor, path: str) -> list[str]:
    return [line[0].removesuffix("best") for line in table(visitor, path)]


def read(visitor: Visitor, api: Api) -> None:
    """All metrics have been read."""
    path = elsewhere(api)

    def done() -> bool:
        return "…" not in str(table(visitor, path)) and "best loss" in visitor.get(path).text

    wait_until(done, "metrics are read")


def test_the_table(visitor: Visitor, experiment: Api) -> None:
    read(visitor, experiment)
    answer = visitor.get(elsewhere(experiment))
    assert answer.status == 200
    assert "<script>alert" not in answer.text
    for said in ("queued 1", "running 1", "succeeded 2", "failed 1", "exit code 3", EVIL, "none is set to 0 at most"):
        assert said in answer.shown, said
    rows = {line[0].removesuffix("best"): line for line in table(visitor, elsewhere(experiment))}
    assert rows["try-0"][5:7] == ["0.1", "cnn"]
    assert rows["try-0"][7] == "0.05"  # the best loss, which ranks
    assert rows["waits"][7] == ""
    other = experiment.workspace.split("/")[2]  # without it the line would mean an experiment of the service's own
    assert f"az batchai experiment compare --subscription {other} -g lab" in answer.shown
    assert "--metric loss --min --sort" in answer.shown


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["runs", "waits", "try-2", "try-1", "try-0"]),
        ("?sort=name", ["runs", "try-0", "try-1", "try-2", "waits"]),
        ("?sort=m:loss", ["try-0", "try-1", "try-2"]),
        ("?sort=-m:loss", ["try-2", "try-1", "try-0"]),
        ("?sort=p:lr", ["try-1", "try-0", "runs", "waits", "try-2"]),
        ("?state=failed", ["try-2"]),
        ("?name=TRY&sort=name", ["try-0", "try-1", "try-2"]),
        ("?where=lr%3C0.1", ["try-1"]),
        ("?where=loss%3C0.07", ["try-0"]),
        ("?where=lr%3D0.10+model!%3Dmlp", ["try-0"]),
        ("?page=99&sort=name", ["runs", "try-0", "try-1", "try-2", "waits"]),
    ],
)
def test_sorting_and_filtering(visitor: Visitor, experiment: Api, query: str, expected: list[str]) -> None:
    read(visitor, experiment)
    found = names(visitor, elsewhere(experiment) + query)
    assert found[: len(expected)] == expected
    if query.startswith("?sort=") and "m:loss" in query:
        assert set(found[3:]) == {"runs", "waits"}
    else:
        assert len(found) == len(expected)


@pytest.mark.parametrize("key", ["name", "where", "sort", "metric", "parameter", "state", "goal", "value", "page"])
@pytest.mark.parametrize("view", ["", "compare"])
def test_hostile_queries(visitor: Visitor, experiment: Api, key: str, view: str) -> None:
    answer = visitor.get(f"{elsewhere(experiment)}?view={view}&{key}=%22%27%3E%3Cscript%3Ealert(1)%3C/script%3E%00%ff")
    assert answer.status == 200
    assert "<script>alert" not in answer.text


def test_side_by_side(visitor: Visitor, experiment: Api) -> None:
    read(visitor, experiment)
    answer = visitor.get(elsewhere(experiment) + "?view=compare&parameter=lr")
    assert "<script>alert" not in answer.text
    assert "loss by lr" in answer.shown and "All parameters" in answer.shown
    assert answer.text.count('class="job best"') == 2  # in both plots
    assert 'aria-label="Best: try-0: loss 0.05, lr 0.1, model cnn"' in answer.text
    greatest = visitor.get(elsewhere(experiment) + "?view=compare&parameter=lr&metric=loss&goal=max")
    assert 'aria-label="Best: try-2: loss 3, lr 1' in greatest.text


def test_curves_as_json(visitor: Visitor, experiment: Api) -> None:
    read(visitor, experiment)
    found = json.loads(visitor.get(elsewhere(experiment) + "/curves?name=try").content)
    assert [metric["name"] for metric in found["metrics"]] == ["loss", EVIL]
    by_job = {one["job"]: one for one in found["metrics"][0]["series"]}
    assert by_job["try-2"]["y"][-1] is None and by_job["try-2"]["last"] == "NaN"
    assert by_job["try-0"]["x"] == list(range(20)) and by_job["try-0"]["bestStep"] == "19"
    again = json.loads(visitor.get(f"{elsewhere(experiment)}/curves?name=try&known={found['version']}").content)
    assert again["same"]
    one = json.loads(visitor.get(elsewhere(experiment) + "/jobs/try-1/metrics").content)
    assert [series["job"] for series in one["metrics"][0]["series"]] == ["try-1"] and not one["live"]
    assert visitor.get(elsewhere(experiment) + "/jobs/nothing/metrics").status == 404


def test_no_jobs_and_no_such_experiment(visitor: Visitor, experiment: Api) -> None:
    assert experiment.call("PUT", f"{experiment.workspace}/experiments/empty")[0] == 200
    path = elsewhere(experiment).replace("/exp", "/empty").replace("/emptyeriments", "/experiments")
    assert "No job yet" in visitor.get(path).shown
    assert "A job has metrics that writes" in visitor.get(path + "?view=compare").shown
    assert visitor.get(path + "x").status == 404


def test_jobs_come_change_and_go(visitor: Visitor, experiment: Api) -> None:
    """The rows in memory follow the state."""
    api = Api(experiment.service, f"ws-{uuid.uuid4().hex[:8]}")
    api.create_cluster("none", nodes=0)
    path = elsewhere(api)
    assert names(visitor, path) == []
    for name in ("one", "two"):
        create(api, name, "true", cluster="none", lr="1")
    assert names(visitor, path) == ["two", "one"]
    assert api.call("POST", f"{api.job('one')}/terminate")[0] == 202
    assert [line[1] for line in table(visitor, path)] == ["queued", "failed"]
    assert api.call("DELETE", api.job("two"))[0] == 202
    wait_until(lambda: names(visitor, path) == ["one"], "the job is gone")
    create(api, "two", "true", cluster="none", lr="2")
    assert table(visitor, path)[0][5] == "2"


def test_terminate_and_delete(visitor: Visitor, experiment: Api) -> None:
    api = Api(experiment.service, f"ws-{uuid.uuid4().hex[:8]}")
    api.create_cluster("none", nodes=0)
    path = elsewhere(api)
    for number in range(5):
        create(api, f"job{number}", "true", cluster="none")
    assert visitor.post(f"{path}/terminate", {"token": "wrong"}).status == 403
    assert visitor.submit(path, f"{path}/terminate").status == 303
    wait_until(lambda: {line[1] for line in table(visitor, path)} == {"failed"}, "all jobs are ended")
    assert "ask-terminate" not in visitor.get(path).text
    assert visitor.submit(path, f"{path}/delete").headers["location"] == "/ui/"
    wait_until(lambda: visitor.get(path).status == 404, "the experiment is gone")


def test_many_jobs_have_pages(visitor: Visitor, experiment: Api) -> None:
    api = Api(experiment.service, f"ws-{uuid.uuid4().hex[:8]}")
    api.create_cluster("none", nodes=0)
    for number in range(120):
        create(api, f"job{number}", "true", cluster="none")
    path = elsewhere(api)
    assert names(visitor, path + "?sort=name") == [f"job{number}" for number in range(100)]
    assert names(visitor, path + "?sort=name&page=2") == [f"job{number}" for number in range(100, 120)]
    assert "101 to 120 of 120 jobs" in visitor.get(path + "?page=2").shown


def test_a_curve_appears_and_grows(signed_in: tuple[Any, str], experiment: Api) -> None:
    page, base = signed_in
    file = folder(experiment, "runs") / "metrics.jsonl"
    file.write_text('{"step": 0, "loss": 8}\n', encoding="utf-8")
    page.goto(f"{base}{elsewhere(experiment)}?view=compare&name=runs")
    page.wait_for_selector(".curve canvas")
    page.wait_for_function("() => document.querySelector('.curve .value').textContent.includes('last 8,')")
    canvas = page.query_selector(".curve canvas")
    with file.open("a", encoding="utf-8") as stream:
        stream.write('{"step": 1, "loss": 4}\n{"step": 2, "loss": 5}\n')
    page.wait_for_function("() => document.querySelector('.curve .value').textContent === 'last 5, best 4'")
    label = page.get_attribute(".curve .plot", "aria-label")
    assert label == "Curves of loss. runs: last 5, best 4 at step 1"
    assert page.evaluate("one => one.isConnected", canvas)  # the chart was not made anew
    page.wait_for_function("() => document.querySelector('details tbody td').textContent === '4'")
    page.click(".curve figcaption button")
    assert page.get_attribute(".curve figcaption button", "aria-pressed") == "true"
    assert page.is_visible(".curve canvas")
    file.unlink()


def test_curves_appear_on_a_page_that_had_none(signed_in: tuple[Any, str], experiment: Api) -> None:
    """The page of a job is open before there are metrics: what draws them is loaded when there are."""
    page, base = signed_in
    page.goto(f"{base}{elsewhere(experiment)}/jobs/runs")
    assert not page.query_selector(".curves")
    file = folder(experiment, "runs") / "metrics.jsonl"
    file.write_text('{"step": 0, "loss": 8}\n', encoding="utf-8")
    page.wait_for_selector(".curve canvas")
    file.unlink()


def test_filtering_as_one_types(signed_in: tuple[Any, str], experiment: Api) -> None:
    page, base = signed_in
    page.goto(f"{base}{elsewhere(experiment)}")
    page.evaluate("() => { window.sameDocument = true; }")
    page.click("#filter-name")
    page.keyboard.type("try")
    page.wait_for_function("() => document.querySelectorAll('table.jobs tbody tr').length === 3")
    assert page.url.endswith("?name=try")
    assert page.evaluate("document.activeElement.id") == "filter-name"
    page.keyboard.type("-1")
    page.wait_for_function("() => document.querySelectorAll('table.jobs tbody tr').length === 1")
    page.fill("#filter-name", "")
    page.wait_for_function("() => document.querySelectorAll('table.jobs tbody tr').length === 5")
    page.fill("#filter-where", "lr")
    page.wait_for_selector("[role=alert]")
    page.fill("#filter-where", "lr>=0.5")
    page.wait_for_function("() => document.querySelectorAll('table.jobs tbody tr').length === 2")
    page.fill("#filter-where", "")
    page.click("table.jobs thead a:has-text('Job')")
    page.wait_for_function("() => document.querySelector('table.jobs tbody th a').textContent === 'runs'")
    assert "sort=name" in page.url
    page.go_back()
    page.wait_for_function("() => !location.search.includes('sort')")
    page.wait_for_function("() => !document.querySelector('.arrow')")
    assert page.evaluate("() => window.sameDocument")


def test_how_it_looks(signed_in: tuple[Any, str], visitor: Visitor, experiment: Api) -> None:
    read(visitor, experiment)
    page, base = signed_in
    page.goto(f"{base}{elsewhere(experiment)}")
    looks_right(page, "experiment")
    page.goto(f"{base}{elsewhere(experiment)}?view=compare&parameter=lr")
    page.wait_for_selector(".curve canvas")
    looks_right(page, "experiment-metrics")
