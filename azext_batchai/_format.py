"""Tables of `--output table`. Each takes one resource or a list of them: `--ids` makes a list of what is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Row = dict[str, Any]


def _rows(one: Callable[[Row], Row]) -> Callable[[Any], Any]:
    def table(result: Any) -> Any:
        return one(result) if isinstance(result, dict) else [one(item) for item in result if item]

    return table


def _parent(resource_id: str, kind: str) -> str:
    """The name after /KIND/ in an ARM id."""
    segments = resource_id.split("/")
    for segment, name in zip(segments, segments[1:], strict=False):
        if segment.lower() == kind.lower():
            return name
    return ""


def _state(item: Row, busy: str) -> Any:
    """The state `busy` of a resource, unless the resource is being deleted."""
    return "deleting" if item["provisioningState"] == "deleting" else item[busy]


@_rows
def workspaces(item: Row) -> Row:
    return {
        "Name": item["name"],
        "Resource Group": item["resourceGroup"],
        "Location": item["location"],
        "State": item["provisioningState"],
    }


@_rows
def clusters(item: Row) -> Row:
    counts = item["nodeStateCounts"] or {}
    return {
        "Name": item["name"],
        "Resource Group": item["resourceGroup"],
        "Workspace": _parent(item["id"], "workspaces"),
        "VM Size": item["vmSize"],
        "State": _state(item, "allocationState"),
        **{
            state.capitalize(): str(counts.get(f"{state}NodeCount", 0))
            for state in ("idle", "running", "preparing", "leaving", "unusable")
        },
    }


@_rows
def one_cluster(item: Row) -> Row:
    """One cluster, with a column on what is wrong with its nodes where something is."""
    errors = item["errors"] or []
    why = "; ".join(dict.fromkeys(_error(error) for error in errors))
    return {**clusters(item), **({"Why": why} if errors else {})}


def _error(error: Row) -> str:
    details = {detail["name"]: detail["value"] for detail in error["details"] or []}
    lines = (details.get("Info") or details.get("StdErr") or "").strip().splitlines()
    return f"{error['message'] or error['code']}{': ' + lines[-1] if lines else ''}"


@_rows
def nodes(item: Row) -> Row:
    return {"ID": item["nodeId"], "IP": item["ipAddress"], "SSH Port": int(item["port"])}


@_rows
def experiments(item: Row) -> Row:
    return {
        "Name": item["name"],
        "Resource Group": item["resourceGroup"],
        "Workspace": _parent(item["id"], "workspaces"),
        "State": item["provisioningState"],
    }


@_rows
def jobs(item: Row) -> Row:
    cluster = item["cluster"]["id"]
    exit_code = (item["executionInfo"] or {}).get("exitCode")
    return {
        "Name": item["name"],
        "Cluster": _parent(cluster, "clusters"),
        "Cluster RG": _parent(cluster, "resourceGroups"),
        "Cluster Workspace": _parent(cluster, "workspaces"),
        "Tool": item["toolType"],
        "Nodes": item["nodeCount"],
        "State": _state(item, "executionState"),
        "Exit code": "" if exit_code is None else str(exit_code),
    }


class _JobList:
    """The table of `job list`; the command says before what it is to show beside what jobs say of themselves."""

    def __init__(self) -> None:
        self._why_of: dict[str, str] | None = None
        self._width: int | None = None

    def prepare(self, why_of: dict[str, str] | None, width: int | None) -> None:
        """`why_of`: id of a job -> why it waits or failed, None for the plain table; `width`: of the terminal."""
        self._why_of, self._width = why_of, width

    def __call__(self, result: list[Row]) -> list[Row]:
        plain: list[Row] = jobs(result)
        if self._why_of is None:
            return plain
        from azext_batchai.jobs.listing import table

        return table(plain, result, self._why_of, self._width)


job_list = _JobList()


@_rows
def sweep(item: Row) -> Row:
    """Of the jobs of a sweep; with --dry-run they are in no state yet."""
    return {"Name": item["name"], **item["parameters"], "State": item.get("executionState") or " "}


def _cell(value: Any) -> Any:
    """What is not there leaves its cell empty, and a 0 does not."""
    return " " if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


@_rows
def metrics(item: Row) -> Row:
    titles = {"Metric": "metric", "Values": "count", "Last": "last", "Min": "min", "Max": "max"}
    return {title: _cell(item[key]) for title, key in titles.items()}


def comparison(result: Any) -> list[Row]:
    """All rows have all columns: a job without a parameter, or without a metric, has an empty cell there."""
    parameters = list(dict.fromkeys(name for item in result for name in item["parameters"]))
    return [
        {
            "Name": item["name"],
            **{name: _cell(item["parameters"].get(name)) for name in parameters},
            **{name: _cell(value) for name, value in item["metrics"].items()},
            "State": item["executionState"],
            "Seconds": _cell(item["durationSeconds"]),
            "Exit code": _cell(item["exitCode"]),
        }
        for item in result
    ]


def job(item: Any) -> Any:
    """Also of `job show --as-config`, which is no job."""
    return item["properties"] if isinstance(item, dict) and "name" not in item else jobs(item)


@_rows
def files(item: Row) -> Row:
    is_file = item["fileType"] == "file"
    return {
        "Name": item["name"],
        "Type": item["fileType"],
        "Size": str(item["contentLength"]) if is_file else "",
        # A column of empty strings alone would be left out of the table.
        "Modified": item["lastModified"] or " ",
    }


@_rows
def setup_files(item: Row) -> Row:
    return {
        "Name": item["name"],
        "Is directory": "yes" if item["is_directory"] else "no",
        "Size": "" if item["size"] is None else str(item["size"]),
    }


@_rows
def file_servers(item: Row) -> Row:
    disks, mount = item["dataDisks"] or {}, item["mountSettings"] or {}
    return {
        "Name": item["name"],
        "Resource Group": item["resourceGroup"],
        "Size": item["vmSize"],
        "Disks": f"{disks['diskCount']} x {disks['diskSizeInGb']} Gb" if disks else "",
        "Public IP": mount.get("fileServerPublicIp") or "",
        "Internal IP": mount.get("fileServerInternalIp") or "",
        "Mount Point": mount.get("mountPoint") or "",
    }


@_rows
def usages(item: Row) -> Row:
    # As text: a number 0 would be shown as an empty cell.
    return {
        "Value": item["name"]["localizedValue"],
        "Usage": str(item["currentValue"] or 0),
        "Limit": str(item["limit"] or 0),
    }


@_rows
def service(item: Row) -> Row:
    columns = {
        "Status": "status",
        "PID": "pid",
        "Endpoint": "endpoint",
        "Clusters": "clusters",
        "Nodes": "nodes",
        "Running": "jobsRunning",
        "Queued": "jobsQueued",
        "Version": "version",
        "State folder": "home",
    }
    return {title: str(item[key]) for title, key in columns.items() if item.get(key) is not None}


def overview(result: Row) -> list[Row]:
    """The clusters."""
    rows = []
    for cluster in result["clusters"]:
        states = [node["state"] for node in cluster["nodes"]]
        rows.append(
            {
                "Cluster": cluster["name"],
                "Workspace": _parent(cluster["id"] or "", "workspaces"),
                "State": cluster["allocationState"] or "unknown",
                **{
                    state.capitalize(): str(states.count(state))
                    for state in ("idle", "running", "preparing", "leaving", "unusable")
                },
                "Jobs running": str(cluster["jobsRunning"]),
                "Jobs queued": str(cluster["jobsQueued"]),
            }
        )
    return rows


@_rows
def findings(item: Row) -> Row:
    parts = (item["found"], item["gives"], item["advice"])
    return {"Status": item["status"], "Check": item["check"], "Found": ". ".join(part for part in parts if part)}


@_rows
def cluster_usage(item: Row) -> Row:
    hours = item["nodeHours"]
    return {
        "Cluster": item["cluster"],
        "Workspace": item["workspace"],
        "Since": item["since"][:16].replace("T", " "),
        # As text: a number 0 would be shown as an empty cell.
        **{f"{state.capitalize()} h": f"{hours[state]:.2f}" for state in ("running", "idle", "preparing", "unusable")},
        "By experiment": ", ".join(f"{name} {hours:.2f}" for name, hours in item["experiments"].items()) or " ",
    }
