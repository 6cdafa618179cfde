"""What the tests of jobs share: paths and bodies of one job."""

from typing import Any

from extension.scripted import SUBSCRIPTION, Answer

WORKSPACE = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/g/providers/Microsoft.BatchAI/workspaces/w"
CLUSTER = f"{WORKSPACE}/clusters/c"
JOB = f"{WORKSPACE}/experiments/e/jobs/j"
IN_EXPERIMENT = ("-g", "g", "-w", "w", "-e", "e")
START, END = "2026-01-01T00:00:00Z", "2026-01-01T00:01:05Z"


def job(state: str, exit_code: int | None = None, errors: list | None = None, path: str = JOB) -> Answer:
    info: dict[str, Any] = {"startTime": START}
    if state in ("succeeded", "failed"):
        info |= {"endTime": END, "errors": errors or []}
        if exit_code is not None:
            info["exitCode"] = exit_code
    properties = {
        "executionState": state,
        "provisioningState": "succeeded",
        "cluster": {"id": CLUSTER},
        "nodeCount": 2,
        "creationTime": START,
        "toolType": "custom",
        **({} if state == "queued" else {"executionInfo": info}),
    }
    return Answer(200, {"id": path, "name": path.rpartition("/")[2], "properties": properties})


JOB_NOT_FOUND = Answer(404, {"error": {"code": "JobNotFound", "message": "The specified job j is not found"}})
