"""The overview: what needs attention, the clusters with their nodes, what runs and what waits."""

from __future__ import annotations

from collections import Counter
from typing import Any

from azext_batchai.service import clock
from azext_batchai.service.control.controller import ClusterController
from azext_batchai.service.model import job_states
from azext_batchai.service.model.node_states import RUNNING, UNUSABLE
from azext_batchai.service.service import Service
from azext_batchai.service.store import DamagedRecord, Record
from azext_batchai.service.ui import failures, parts, waiting
from azext_batchai.service.ui.html import Child, Html, element
from azext_batchai.service.ui.view import Page, View

STUCK_SECONDS = 60.0  # a job that waits for longer needs attention
_FAILED_SECONDS = 86400.0
_LOOKED_AT = 200  # of the youngest jobs
_SHOWN = 12


def summary(service: Service) -> dict[str, Any]:
    """What there is and what needs attention, as JSON has it; ids are those of the wire."""
    active = [job for job in service.store.active("job") if job.properties["executionState"] not in job_states.ENDED]
    return {
        "time": clock.wire_now(),
        "attention": _attention(service, active),
        "clusters": [_cluster(service, controller) for controller in service.fleet],
        "experiments": _experiments(service, active),
        "jobs": [_job(service, job) for job in _youngest(active)[:_SHOWN]],
        "jobsRunning": sum(job.properties["executionState"] != "queued" for job in active),
        "jobsQueued": sum(job.properties["executionState"] == "queued" for job in active),
    }


def _youngest(active: list[Record]) -> list[Record]:
    """Those that run first."""
    return sorted(active, key=lambda job: (job.properties["executionState"] == "queued", -job.seq))


def _attention(service: Service, active: list[Record]) -> list[dict[str, Any]]:
    found = [{"what": "damaged", "id": None, "text": str(damage)} for damage in service.store.damaged.values()]
    for controller in service.fleet:
        number = sum(node.state == UNUSABLE for node in controller.nodes)
        cluster = sound(service, controller.key)
        if number and cluster:
            errors = controller.nodes.errors()
            why = failures.brief(errors[0]) if errors else ""
            nodes = f"{number} unusable node{'' if number == 1 else 's'}"
            found.append({"what": "unusable", "id": cluster.body["id"], "text": f"{nodes}: {why}" if why else nodes})
    now = clock.utc_now()
    for job in active:
        since = clock.parse_wire_time(job.properties["executionStateTransitionTime"])
        if job.properties["executionState"] == "queued" and (now - since).total_seconds() >= STUCK_SECONDS:
            found.append({"what": "waiting", "id": job.body["id"], "text": waiting.reason(service, job)})
            if len(found) > 3 * _SHOWN:
                break
    for job in service.store.latest("job", _LOOKED_AT):
        if job.properties["executionState"] == "failed":
            ended = clock.parse_wire_time(job.properties["executionStateTransitionTime"])
            if (now - ended).total_seconds() <= _FAILED_SECONDS:
                found.append({"what": "failed", "id": job.body["id"], "text": failures.line(job.properties)})
    return found


def sound(service: Service, key: str) -> Record | None:
    """The record at a key; None where it is gone or damaged, of which the overview tells."""
    try:
        return service.store.get(key)
    except DamagedRecord:
        return None


def _cluster(service: Service, controller: ClusterController) -> dict[str, Any]:
    record = sound(service, controller.key)
    properties = record.properties if record else {}
    return {
        "id": record.body["id"] if record else None,
        "name": record.name if record else controller.key.rpartition("/")[2],
        "vmSize": controller.vm_size,
        "vmPriority": controller.vm_priority,
        "engine": controller.engine_name,
        "allocationState": properties.get("allocationState"),
        "scaleSettings": properties.get("scaleSettings"),
        "nodes": [
            {
                "id": node.node_id,
                "state": node.state,
                "job": node.job.rpartition("/")[2] if node.job and node.state == RUNNING else None,
            }
            for node in controller.nodes
        ],
        "jobsRunning": controller.running_jobs,
        "jobsQueued": len(controller.queue),
    }


def _experiments(service: Service, active: list[Record]) -> list[dict[str, Any]]:
    counts: dict[str, Counter[str]] = {}
    for job in active:
        waits = job.properties["executionState"] == "queued"
        counts.setdefault(job.parent, Counter())["jobsQueued" if waits else "jobsRunning"] += 1
    sizes = service.store.sizes("job")
    return [
        {
            "id": experiment.body["id"],
            "jobs": sizes.get(experiment.key, 0),
            "jobsRunning": counts.get(experiment.key, Counter())["jobsRunning"],
            "jobsQueued": counts.get(experiment.key, Counter())["jobsQueued"],
            "creationTime": experiment.properties["creationTime"],
        }
        for experiment in service.store.latest("experiment", _SHOWN)
    ]


def _job(service: Service, job: Record) -> dict[str, Any]:
    return {
        "id": job.body["id"],
        "executionState": job.properties["executionState"],
        "since": job.properties["executionStateTransitionTime"],
        "reason": waiting.reason(service, job),
    }


def scale_text(settings: dict[str, Any] | None) -> str:
    """`1 node`, `0 to 4 nodes`."""
    if not settings:
        return ""
    if "manual" in settings:
        return _nodes(settings["manual"]["targetNodeCount"])
    auto = settings["autoScale"]
    return f"{auto['minimumNodeCount']} to {_nodes(auto['maximumNodeCount'])}"


def _nodes(number: int) -> str:
    return f"{number} node{'' if number == 1 else 's'}"


def cells(nodes: list[dict[str, Any]]) -> Html:
    """Nodes as cells by state; what a cell shows is said in words as well."""
    counts = Counter(str(node["state"]) for node in nodes)
    text = ", ".join(f"{number} {state}" for state, number in counts.items())
    shown = [
        element(
            "li",
            class_=f"cell {node['state']}",
            title=f"{node['id']}: {node['state']}{' ' + node['job'] if node['job'] else ''}",
        )
        for node in nodes
    ]
    return element(
        "div",
        element("ul", shown, class_="cells", aria_hidden="true"),
        element("p", text or "no nodes", class_="counts"),
    )


async def page(view: View) -> Page:
    """Everything of the service at a glance."""
    found = summary(view.service)
    return Page(
        "Overview",
        element(
            "div",
            element("h1", "Overview"),
            _attention_section(view, found["attention"]),
            _clusters_section(view, found["clusters"]),
            _jobs_section(view, found),
            _experiments_section(view, found["experiments"]),
        ),
    )


def _attention_section(view: View, found: list[dict[str, Any]]) -> Html | None:
    if not found:
        return None
    items = [
        element(
            "li",
            parts.state(item["what"]),
            link(view, item["id"]) if item["id"] else None,
            element("span", item["text"], class_="why"),
        )
        for item in found[:_SHOWN]
    ]
    more = f"{len(found) - _SHOWN} more" if len(found) > _SHOWN else None
    return parts.section("Needs attention", element("ul", items, class_="attention"), more and parts.empty(more))


def link(view: View, resource_id: str) -> Html:
    """A resource by its name, behind the name of what it lies in."""
    words = resource_id.split("/")
    above = f"{words[-3]} / " if words[-2].lower() != "workspaces" else ""
    return element("a", element("span", above, class_="above"), words[-1], href=view.address(resource_id))


def _clusters_section(view: View, clusters: list[dict[str, Any]]) -> Html:
    if not clusters:
        empty = parts.empty("No cluster yet. Make one:")
        line = parts.command("cluster", "create", "-g", "local", "-w", "demo", "-n", "c1", "--min", "0", "--max", "2")
        return parts.section("Clusters", empty, line)
    cards = []
    for cluster in clusters:
        name: Child = cluster["name"]
        if cluster["id"]:
            name = link(view, cluster["id"])
        queue = f"{cluster['jobsRunning']} running, {cluster['jobsQueued']} queued"
        about = f"{cluster['vmSize']} · {scale_text(cluster['scaleSettings'])}"
        if cluster["engine"] != "local":
            about += f" · {cluster['engine']}"
        cards.append(
            element(
                "li",
                element("h3", name, parts.state(cluster["allocationState"] or "unknown")),
                element("p", about, class_="about"),
                cells(cluster["nodes"]),
                element("p", queue, class_="queue"),
                class_="card",
            )
        )
    return parts.section("Clusters", element("ul", cards, class_="cards"))


def _jobs_section(view: View, found: dict[str, Any]) -> Html:
    rows = [
        (
            link(view, job["id"]),
            parts.state(job["executionState"]),
            parts.moment(job["since"]),
            element("span", job["reason"], class_="why"),
        )
        for job in found["jobs"]
    ]
    heading = f"{found['jobsRunning']} running, {found['jobsQueued']} queued"
    if not rows:
        return parts.section("Jobs", parts.empty("Nothing runs and nothing waits."))
    return parts.section("Jobs", parts.table(("Job", "State", "Since", "Why"), rows, heading))


def _experiments_section(view: View, experiments: list[dict[str, Any]]) -> Html:
    if not experiments:
        line = parts.command("job", "run", "--", "python", "train.py")
        return parts.section("Experiments", parts.empty("No experiment yet. Run something:"), line)
    rows = [
        (
            link(view, one["id"]),
            one["jobs"],
            one["jobsRunning"],
            one["jobsQueued"],
            parts.moment(one["creationTime"]),
        )
        for one in experiments
    ]
    return parts.section(
        "Experiments",
        parts.table(("Experiment", "Jobs", "Running", "Queued", "Made"), rows, "The youngest experiments", "numbers"),
    )
