"""Many requests at once, in an order that nobody thought of: whatever was answered, what is there fits together."""

import asyncio
import random

import pytest

from harness.plane import ACCOUNT, EXPERIMENT, GROUP, USER, WORKSPACE, Answer, Plane, job_path, scale

LOCATION = {"location": "eastus"}
DISKS = {"diskSizeInGB": 1, "diskCount": 1, "storageAccountType": "Standard_LRS"}
SERVER = {"properties": {"vmSize": "S", "sshConfiguration": {"userAccountSettings": USER}, "dataDisks": DISKS}}
AUTO = {"vmSize": "S", "userAccountSettings": USER, "scaleSettings": scale(auto=(0, 3, 1))}
MANUAL = {"vmSize": "S", "userAccountSettings": USER, "scaleSettings": scale(2)}
CLUSTER = f"{WORKSPACE}/clusters/c"
SERVER_PATH = f"{WORKSPACE}/fileServers/f"
OTHER = f"{WORKSPACE}/experiments/other"


def requests(plane: Plane) -> list[tuple[str, str, object]]:
    made = [
        ("PUT", GROUP, LOCATION),
        ("PUT", WORKSPACE, LOCATION),
        ("PUT", EXPERIMENT, None),
        ("PUT", OTHER, None),
        ("PUT", CLUSTER, {"properties": AUTO}),
        ("PUT", f"{WORKSPACE}/clusters/d", {"properties": MANUAL}),
        ("PUT", SERVER_PATH, SERVER),
        ("PUT", ACCOUNT, LOCATION),
        ("PATCH", CLUSTER, {"properties": {"scaleSettings": scale(1)}}),
        ("PATCH", CLUSTER, {"properties": {"scaleSettings": scale(auto=(0, 2))}}),
    ]
    jobs = [job_path(name) for name in "abc"] + [f"{OTHER}/jobs/a"]
    made += [("PUT", path, plane.job_body(1 + index % 2)) for index, path in enumerate(jobs)] * 2
    made += [("POST", f"{path}/terminate", None) for path in jobs]
    gone = [GROUP, WORKSPACE, EXPERIMENT, OTHER, CLUSTER, SERVER_PATH, ACCOUNT, *jobs]
    return made * 3 + [("DELETE", path, None) for path in gone]


async def check(plane: Plane, answers: list[Answer]) -> None:
    store = plane.service.store
    assert {answer.status for answer in answers} <= {200, 201, 202, 204, 404, 409}
    kinds = ("workspace", "experiment", "cluster", "fileserver", "job", "node", "account")
    records = [record for kind in kinds for record in store.all_of(kind)]
    assert [record.key for record in records if not store.get(record.parent)] == []  # no orphan
    assert [record.key for record in records if record.internal.get("deleting")] == []
    assert store.unfinished_operations() == []
    keys = {record.key for record in records}
    assert {row[0] for row in plane.content()["secrets"]} <= keys
    assert plane.endpoints.open_ports.keys() == {record.key for record in store.all_of("fileserver")}
    assert len(list(plane.service.storage.file_servers.glob("*"))) == store.count("fileserver")
    assert {controller.key for controller in plane.service.fleet} == {record.key for record in store.all_of("cluster")}
    nodes = {record.name: record.internal["state"] for record in store.all_of("node")}
    assert plane.world.nodes.keys() <= nodes.keys()
    assert {nodes[name] for name in nodes.keys() - plane.world.nodes.keys()} <= {"unusable"}  # of a block given up
    running = {record.key for record in store.all_of("job") if record.properties["executionState"] == "running"}
    assert {run.plan.job_key for run in plane.world.runs.values() if run.outcome is None} == running
    held = [node for record in store.all_of("job") for node in record.internal["nodes"]]
    assert len(held) == len(set(held)) and set(held) <= plane.world.nodes.keys()


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("seed", range(12))
async def test_what_is_there_fits_together(plane: Plane, seed: int, restarts: bool) -> None:
    chance = random.Random(seed)
    for _ in range(8):
        chosen = chance.choices(requests(plane), k=chance.randint(2, 12))

        async def late(method: str, path: str, body: object, turns: int) -> Answer:
            for _ in range(turns):
                await asyncio.sleep(0)
            return await plane.call(method, path, body)

        plane.world.automatic ^= {chance.choice(("prepare", "stop", "clean", "release", "allocate"))}
        answers = await asyncio.gather(*(late(*request, chance.randint(0, 30)) for request in chosen))
        if restarts and chance.random() < 0.5:
            await plane.restart(settle=chance.random() < 0.5)
        plane.world.automatic |= {"prepare", "stop", "clean", "release", "allocate"}
        for _ in range(3):  # what waited for one thing may wait for another
            for call in ("allocate", "prepare", "clean", "release"):
                for name in plane.engine.waits(call):
                    plane.engine.decide(call, name)
            for run in list(plane.world.runs.values()):
                if run.outcome is None and (run.stops or chance.random() < 0.2):
                    plane.engine._finish(run, plane.world.outcome_of(run))
            await plane.sleep(20)
        await check(plane, list(answers))
        for key in [key for key, run in plane.world.runs.items() if run.outcome is not None]:
            del plane.world.runs[key]  # a job of the same name may come
