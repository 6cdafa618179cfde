"""The node's folder at the documented place, in jobs, setup tasks and SSH sessions alike; and without bubblewrap."""

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from azext_batchai.service.engine.local.view import DOCUMENTED_ROOT, find_bubblewrap
from harness.service import Service
from wire.api import Api

pytestmark = pytest.mark.documented
LINE = (
    "echo $AZ_BATCHAI_MOUNT_ROOT $AZ_BATCHAI_JOB_MOUNT_ROOT $PWD $HOME; cd $AZ_BATCHAI_MOUNT_ROOT/afs && pwd -P; "
    "echo model > $AZ_BATCHAI_OUTPUT_M/m; cat $AZ_BATCHAI_INPUT_I/setup"
)


def run(api: Api) -> list[str]:
    """A node with a setup task and a job that tell where they are."""
    setup = {
        "commandLine": "echo $HOME > $AZ_BATCHAI_MOUNT_ROOT/afs/setup",
        "stdOutErrPathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/afs",
    }
    api.create_cluster(nodeSetup={"mountVolumes": api.mounts(), "setupTask": setup})
    api.wait_for_cluster(idle=1)
    api.create_job(
        "job",
        LINE,
        outputDirectories=[{"id": "M", "pathPrefix": "$AZ_BATCHAI_JOB_MOUNT_ROOT/mine"}],
        inputDirectories=[{"id": "I", "path": "$AZ_BATCHAI_MOUNT_ROOT/afs"}],
        mountVolumes={"azureFileShares": [{**api.mounts()["azureFileShares"][0], "relativeMountPath": "mine"}]},
    )
    done = api.wait_for_job("job")
    assert done["executionState"] == "succeeded", api.output("job", "stderr.txt")
    assert api.output("job", "m", "M") == b"model\n"
    return api.output("job").decode().split()


def start(home: Path) -> Api:
    service = Service(home)
    assert service.start()["status"] == "ready"
    return Api(service, "lab")


def test_the_documented_paths(home: Path) -> None:
    if not asyncio.run(find_bubblewrap()):
        pytest.skip("there is no bubblewrap that works on this machine")
    api = start(home)
    mounts, job_mounts, work, node_home, share, setup_home = run(api)
    job = f"{DOCUMENTED_ROOT}/jobs/lab/exp/job"
    assert (mounts, job_mounts, work) == (f"{DOCUMENTED_ROOT}/mounts", f"{job}/mounts", f"{job}/wd")
    assert node_home == f"{DOCUMENTED_ROOT}/home"
    [node] = (home / "nodes").glob("tvm-*")
    assert setup_home == (node_home if os.geteuid() == 0 else str(node / "home"))  # sudo works in a plain view only
    assert share == str(home / "storage" / api.account / "files" / "share")
    assert not Path("/mnt/batch").exists()  # only in the view
    # A job that names the documented place itself, as some of 2018 did.
    api.create_job(
        "literal", f"test -d {DOCUMENTED_ROOT}/mounts/afs", stdOutErrPathPrefix=f"{DOCUMENTED_ROOT}/mounts/afs"
    )
    assert api.wait_for_job("literal")["executionState"] == "succeeded"
    assert api.output("literal") == b""


@pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="there is no OpenSSH client on this machine")
def test_an_ssh_session_sees_what_jobs_see(home: Path, tmp_path: Path) -> None:
    if not asyncio.run(find_bubblewrap()):
        pytest.skip("there is no bubblewrap that works on this machine")
    from harness.cluster import ssh

    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    api = start(home)
    public = key.with_suffix(".pub").read_text()
    api.create_cluster(userAccountSettings={"adminUserName": "demo", "adminUserSshPublicKey": public})
    api.wait_for_cluster(idle=1)
    [node] = api.call("POST", f"{api.workspace}/clusters/cluster/listRemoteLoginInformation")[2]["value"]
    found = ssh("demo", node, "pwd; echo $HOME; cd $AZ_BATCHAI_MOUNT_ROOT && ls; exit 7", folder=tmp_path, key=key)
    assert found.stdout.split() == [f"{DOCUMENTED_ROOT}/home", f"{DOCUMENTED_ROOT}/home", "afs"], found.stderr
    assert found.returncode == 7


def test_links_alone_serve_as_well(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_BATCHAI_MOUNTS", "links")
    api = start(home)
    mounts, job_mounts, work, node_home, share, setup_home = run(api)
    [node] = (home / "nodes").iterdir()
    assert (mounts, node_home, setup_home) == (str(node / "mounts"), str(node / "home"), str(node / "home"))
    assert (job_mounts, work) == (str(node / "jobs/lab/exp/job/mounts"), str(node / "jobs/lab/exp/job/wd"))
    assert share == str(home / "storage" / api.account / "files" / "share")
    api.create_job("literal", "true", stdOutErrPathPrefix=f"{DOCUMENTED_ROOT}/mounts/afs")
    assert api.wait_for_job("literal")["executionState"] == "succeeded"
    assert api.output("literal") == b""
