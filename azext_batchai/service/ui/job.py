"""A job: what became of it and why, what it writes while it runs, what it is made of."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from azext_batchai.formats.job_config import config_of
from azext_batchai.service import clock, toolkits
from azext_batchai.service.arm.errors import ArmError
from azext_batchai.service.arm.ids import key_of
from azext_batchai.service.model.job_states import ENDED
from azext_batchai.service.store import Record
from azext_batchai.service.ui import curves, failures, job_place, job_timeline, logs, parts, waiting
from azext_batchai.service.ui.html import Child, Html, element
from azext_batchai.service.ui.view import Page, Redirect, View

MASK = "••••••"
_SECRET_NAME = re.compile(r"PASSW|PWD|TOKEN|KEY|SECRET|CREDENTIAL", re.IGNORECASE)
_MOST_LOGS, _LOG_TAIL = 8, 32 << 10  # execution logs that are read, and how many bytes of each
_LOOK_SECONDS = 10  # nothing tells of files that change
_COUNTED = 100  # files of an output directory


async def page(view: View) -> Page:
    record = await job_place.find(view)
    properties, state = record.properties, record.properties["executionState"]
    cluster_id = properties["cluster"]["id"]
    topics = [record.key]
    if state not in ENDED:
        topics.append(key_of(cluster_id))
    metrics = await curves.of_job(view, record.body["id"])
    return Page(
        record.name,
        element(
            "div",
            element("div", element("h1", record.name, parts.state(state)), _actions(view, record), class_="job-head"),
            _why(view, record),
            parts.facts(_facts(view, record)),
            await _timeline(view, record),
            logs.section(view, record),
            parts.section("Metrics", metrics, id_="metrics") if metrics else None,
            await _outputs(view, record),
            _made_of(properties),
            _lines(view, record),
            data_again=None if state in ENDED else _LOOK_SECONDS,
        ),
        tuple(topics),
        job_place.trail(view, record),
        ("again.js", *logs.SCRIPTS, *(curves.SCRIPTS if metrics else ())),
        curves.LIBRARIES if metrics else (),
        ("job.css", *logs.STYLES, *(curves.STYLES if metrics else ())),
    )


async def terminate(view: View) -> Redirect:
    record = await job_place.find(view)
    await view.wire.send("POST", f"{job_place.path_of(view)}/terminate")
    return Redirect(view.address(record.body["id"]))


async def delete(view: View) -> Redirect:
    record = await job_place.find(view)
    await view.wire.send("DELETE", job_place.path_of(view))
    return Redirect(view.address(record.body["id"].rpartition("/jobs/")[0]))


def is_secret(name: str) -> bool:
    """Whether a variable of this name is not for everybody who looks over a shoulder."""
    return bool(_SECRET_NAME.search(name))


def masked_config(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration that makes such a job, without the values of variables that look secret."""
    made: dict[str, dict[str, Any]] = config_of(properties)
    if "environmentVariables" in made["properties"]:
        made["properties"]["environmentVariables"] = [
            {**one, "value": MASK} if is_secret(one["name"]) else one
            for one in made["properties"]["environmentVariables"]
        ]
    return made


def _actions(view: View, record: Record) -> Html:
    address, names = view.address(record.body["id"]), job_place.options(view, record)
    end = None
    if record.properties["executionState"] not in ENDED:
        question = f"End job {record.name}? Its processes get a TERM signal, and are killed soon after."
        end = parts.ask(view, "Terminate", f"{address}/terminate", question, "job", "terminate", *names, "-y")
    question = f"Delete job {record.name}? It ends if it runs. Files on shares and containers stay, other output goes."
    remove = parts.ask(view, "Delete", f"{address}/delete", question, "job", "delete", *names, "-y")
    return element("div", end, remove, class_="asking-all")


def _why(view: View, record: Record) -> Html | None:
    """Why it waits, or why it failed with the last lines of who failed."""
    reason = waiting.reason(view.service, record)
    if reason:
        return element("div", element("h2", "Waits"), element("p", reason), class_="notice waits", role="note")
    if record.properties["executionState"] != "failed":
        return None
    details = failures.details(record.properties)
    errors = (record.properties.get("executionInfo") or {}).get("errors") or [{}]
    last = details.get("StdErr", "").rstrip()
    who = f"Rank {details['Rank']}" if details.get("Rank") else "It"
    shown = [("Code", errors[0].get("code")), ("Exit code", details.get("ExitCode")), ("Signal", details.get("Signal"))]
    shown += [("Rank", details.get("Rank")), ("Node", details.get("NodeId")), ("File", details.get("Path"))]
    return element(
        "div",
        element("h2", "Failed"),
        element("p", errors[0].get("message") or "no reason given"),
        element("p", details["Info"]) if details.get("Info") else None,
        parts.facts(shown),
        element("p", f"{who} said last:", class_="about") if last else None,
        element("pre", last, tabindex="0", role="region", aria_label=f"{who} said last") if last else None,
        class_="notice failed",
        role="note",
    )


def _facts(view: View, record: Record) -> list[tuple[str, Child]]:
    properties, info = record.properties, record.properties.get("executionInfo") or {}
    cluster_id = properties["cluster"]["id"]
    cluster = element("a", cluster_id.rpartition("/")[2], href=view.address(cluster_id))
    nodes = record.internal["nodes"] if properties["executionState"] in ("running", "terminating") else []
    links = [element("li", element("a", node, href=f"{view.address(cluster_id)}#nodes")) for node in nodes]
    registry = properties.get("containerSettings", {}).get("imageSourceRegistry", {})
    limit = properties.get("constraints", {}).get("maxWallClockTime")
    return [
        ("Cluster", cluster),
        ("Nodes" if nodes else "Nodes wanted", element("ul", links) if nodes else properties["nodeCount"]),
        ("Toolkit", properties["toolType"]),
        ("Exit code", info.get("exitCode")),
        ("Priority", properties.get("schedulingPriority")),
        ("Ends after", limit and _limit(limit)),
        ("Attempt", record.internal["attempt"] if record.internal["attempt"] > 1 else None),
        ("Container image", registry.get("image")),
        ("Registry", registry.get("serverUrl")),
        ("Shared memory", properties.get("containerSettings", {}).get("shmSize")),
        ("Made", parts.moment(properties["creationTime"])),
    ]


def _limit(text: str) -> str:
    return f"{parts.duration(clock.parse_duration(text).total_seconds())} ({text})"


async def _timeline(view: View, record: Record) -> Html:
    logs_read = []
    try:
        output = job_place.Output.of(view.service, record, job_place.STDOUTERR)
        found = await output.named("execution", lambda name: name.endswith(".log"), _MOST_LOGS)
        logs_read = [await output.tail(entry.name, _LOG_TAIL) for entry in found]
    except ArmError:  # its volume is not to be seen from here
        pass
    requeued = record.internal.get("requeued") or ""
    steps = job_timeline.steps(record.properties, requeued, logs_read)
    return parts.section("Timeline", _bar(steps), element("ol", [_step(step) for step in steps], class_="timeline"))


def _bar(steps: list[job_timeline.Step]) -> Html | None:
    """The shares of the steps in the whole time."""
    now = clock.utc_now()
    begin, end = steps[0].begin, max(step.end or now for step in steps)
    whole = (end - begin).total_seconds()
    if whole <= 0:
        return None

    def place(moment: datetime) -> float:
        return min(max((moment - begin).total_seconds() / whole * 1000, 0), 1000)

    shown = []
    for step in steps:
        left, right = place(step.begin), place(step.end or now)
        if right > left:
            shown.append(
                element("rect", x=f"{left:.1f}", y=0, width=f"{right - left:.1f}", height=10, class_=step.state)
            )
    return element(
        "svg", shown, class_="time-bar", viewBox="0 0 1000 10", preserveAspectRatio="none", aria_hidden="true"
    )


def _step(step: job_timeline.Step) -> Html:
    if step.state in ENDED:
        lasted: Child = None
    elif step.end:
        lasted = element("span", parts.duration(max((step.end - step.begin).total_seconds(), 0)), class_="lasted")
    else:
        lasted = element("span", "now", class_="lasted")
    return element(
        "li",
        element("span", step.name, class_=f"state {step.state}"),
        lasted,
        parts.moment(clock.wire_time(step.begin)),
        element("span", step.text, class_="why") if step.text else None,
    )


async def _outputs(view: View, record: Record) -> Html:
    rows = []
    for directory, prefix in job_place.directories(record):
        address = view.address(record.body["id"], "files", directory)
        path = f"{job_place.path_of(view)}/listoutputfiles"
        try:
            body = await view.wire.send("POST", path, outputdirectoryid=directory, maxresults=str(_COUNTED))
            number = len(body["value"])
            count: Child = f"{number} or more" if body.get("nextLink") else number or "nothing yet"
        except ArmError:
            count = "cannot be seen from here"
        rows.append((element("a", directory, href=address), count, element("code", prefix)))
    return parts.section("Output", parts.table(("Directory", "Entries", "On"), rows, "Output directories of the job"))


def _made_of(properties: Mapping[str, Any]) -> Html:
    settings: Mapping[str, Any] = next((properties[name] for name in toolkits.BY_SETTINGS if name in properties), {})
    preparation = properties.get("jobPreparation", {}).get("commandLine")
    command = settings.get("commandLine")
    rest = [(name, str(value)) for name, value in settings.items() if name != "commandLine"]
    return parts.section(
        "What it runs",
        _named("Command line", element("pre", command, tabindex="0")) if command else None,
        parts.facts(rest) if rest else None,
        _named("Preparation", element("pre", preparation, tabindex="0")) if preparation else None,
        _variables(properties),
        _mounts(properties.get("mountVolumes", {})),
        _inputs(properties),
        element(
            "details",
            element("summary", "job.json"),
            element("p", "Values that look secret are not in it: ", element("code", "--as-config"), " has them.")
            if any(is_secret(one["name"]) for one in properties.get("environmentVariables", ()))
            else None,
            _copyable_json(masked_config(properties)),
        ),
    )


def _copyable_json(config: Mapping[str, Any]) -> Html:
    text = json.dumps(config, indent=2, ensure_ascii=False)
    button = element("button", "Copy", type="button", data_copy=text, aria_label="Copy: job.json")
    return element(
        "div",
        button,
        element("pre", text, tabindex="0", role="region", aria_label="job.json"),
        class_="job-json",
    )


def _named(title: str, content: Html) -> Html:
    return element("div", element("h3", title), content, class_="part")


def _variables(properties: Mapping[str, Any]) -> Html | None:
    given = properties.get("environmentVariables", ())
    secrets = properties.get("secrets", ())
    rows: list[tuple[Child, ...]] = [
        (element("code", one["name"]), _masked() if is_secret(one["name"]) else element("code", one["value"]))
        for one in given
    ]
    rows += [(element("code", one["name"]), _masked()) for one in secrets]
    return parts.table(("Name", "Value"), rows, "Environment variables", "variables") if rows else None


def _masked() -> Html:
    return element("span", element("span", MASK, aria_hidden="true"), element("span", "not shown", class_="hidden"))


def _mounts(volumes: Mapping[str, Any]) -> Html | None:
    rows: list[tuple[Child, ...]] = []
    for one in volumes.get("azureFileShares", ()):
        rows.append((one["relativeMountPath"], "file share", one["azureFileUrl"]))
    for one in volumes.get("azureBlobFileSystems", ()):
        rows.append((one["relativeMountPath"], "container", f"{one['accountName']} / {one['containerName']}"))
    for one in volumes.get("fileServers", ()):
        server = one["fileServer"]["id"].rpartition("/")[2]
        rows.append((one["relativeMountPath"], "file server", f"{server} {one.get('sourceDirectory', '')}"))
    for one in volumes.get("unmanagedFileSystems", ()):
        rows.append((one["relativeMountPath"], "file system", one["mountCommand"]))
    return parts.table(("Path", "Kind", "What"), rows, "Mounted while the job runs") if rows else None


def _inputs(properties: Mapping[str, Any]) -> Html | None:
    rows = [(one["id"], element("code", one["path"])) for one in properties.get("inputDirectories", ())]
    return parts.table(("Id", "Path"), rows, "Input directories") if rows else None


def _lines(view: View, record: Record) -> Html:
    names = job_place.options(view, record)
    lines: list[tuple[str, ...]] = [("job", "show", *names)]
    if record.properties["executionState"] in ENDED:
        lines.append(("job", "logs", *names))
    else:
        lines += [("job", "logs", *names, "--follow"), ("job", "wait", *names)]
    lines += [("job", "diagnose", *names), ("job", "file", "list", *job_place.options(view, record, "-j"))]
    lines.append(("job", "resubmit", *names))
    return parts.section("In a terminal", [parts.command(*line) for line in lines])
