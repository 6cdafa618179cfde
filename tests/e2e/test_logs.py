"""az batchai job logs over real ranks, and over the end of the service."""

import json
from pathlib import Path

import pytest

from harness import az
from harness.cluster import ok
from harness.service import Service

pytestmark = pytest.mark.invented
IN_LAB = ("-g", "research", "-w", "lab", "-e", "exp")
SCRIPT = """
import os, sys, time
rank = os.environ["RANK"]
go = os.environ["AZ_BATCHAI_MOUNT_ROOT"] + "/autoafs/go"
for number in range(100):
    print(rank * 50, number, flush=True)
    while number == 50 and not os.path.exists(go):
        time.sleep(0.01)
sys.exit(int(rank) * 3)
"""


def test_all_ranks_are_followed_over_a_restart_of_the_service(trainers: str, service: Service, tmp_path: Path) -> None:
    cluster = ok(az.run("batchai", "cluster", "show", *IN_LAB[:4], "-n", "mycluster"))
    account = cluster["nodeSetup"]["mountVolumes"]["azureFileShares"][0]["accountName"]
    share = service.home / "storage" / account / "files" / "batchaishare"
    (share / "ranks.py").write_text(SCRIPT)
    settings = {"pythonScriptFilePath": "$AZ_BATCHAI_MOUNT_ROOT/autoafs/ranks.py", "processCount": 3}
    body = {"nodeCount": 1, "pyTorchSettings": settings, "stdOutErrPathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/autoafs"}
    (tmp_path / "job.json").write_text(json.dumps(body))
    names = (*IN_LAB, "-n", "ranks")
    ok(az.run("batchai", "job", "create", *names, "-c", "mycluster", "-f", str(tmp_path / "job.json")))
    process = az.start_process("batchai", "job", "logs", *names, "--follow")
    lines: list[str] = []
    while sum(line.endswith(" 50\n") for line in lines) < 3:
        lines.append(process.stdout.readline())
        assert lines[-1], process.stderr.read()
    service.kill()
    (share / "go").touch()
    rest, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "failed with exit code" in said
    lines += rest.splitlines(keepends=True)
    for rank in "012":
        mine = [line for line in lines if line.startswith(f"[{rank}] ")]
        # The first that fails ends the others, which may lose their last lines to it.
        expected = [f"[{rank}] {rank * 50} {number}\n" for number in range(100)]
        assert mine == expected[: len(mine)]
        assert len(mine) > 50
    assert len(lines) == sum(line.startswith(("[0] ", "[1] ", "[2] ")) for line in lines)
