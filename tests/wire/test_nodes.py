"""What a job sees of its nodes: mounts of every kind, the way from node to node, where its files are listed."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from wire.api import USER, Api

pytestmark = pytest.mark.documented
may_mount = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("mount"), reason="only root may mount a file system of its own"
)


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Path]:
    """A folder for the user's own mount command; what is in it must outlive every node and job."""
    folder = tmp_path / "own file system"
    folder.mkdir()
    (folder / "data.txt").write_text("precious\n")
    probe = tmp_path / "probe"
    probe.mkdir()
    if subprocess.run(["mount", "--bind", str(folder), str(probe)], check=False).returncode != 0:
        pytest.skip("this machine does not let root mount")
    subprocess.run(["umount", str(probe)], check=True)
    yield folder
    assert (folder / "data.txt").read_text() == "precious\n"
    assert str(folder) not in Path("/proc/mounts").read_text().replace("\\040", " ")


def unmanaged(command: str, place: str = "own") -> dict[str, Any]:
    return {"unmanagedFileSystems": [{"mountCommand": command, "relativeMountPath": place}]}


@may_mount
def test_an_unmanaged_file_system_of_the_cluster(api: Api, source: Path) -> None:
    mounts = {**api.mounts(), **unmanaged(f"mount --bind '{source}'")}
    api.create_cluster(nodes=2, nodeSetup={"mountVolumes": mounts})
    api.wait_for_cluster(idle=2)
    api.create_job("job", "cat $AZ_BATCHAI_MOUNT_ROOT/own/data.txt; echo made > $AZ_BATCHAI_MOUNT_ROOT/own/made.txt")
    assert api.wait_for_job("job")["executionState"] == "succeeded"
    assert api.output("job") == b"precious\n"
    assert (source / "made.txt").read_text() == "made\n"
    api.create_job("there", "echo kept there", stdOutErrPathPrefix="$AZ_BATCHAI_MOUNT_ROOT/own")
    assert api.wait_for_job("there")["executionState"] == "succeeded"
    assert api.output("there") == b"kept there\n"  # listed and downloaded through a node that has it mounted
    api.finish(api.call("DELETE", f"{api.workspace}/clusters/cluster")[1])


@may_mount
def test_an_unmanaged_file_system_of_a_job(api: Api, source: Path) -> None:
    api.create_cluster()
    api.create_job(
        "job",
        "cat $AZ_BATCHAI_JOB_MOUNT_ROOT/deep/own/data.txt",
        mountVolumes=unmanaged(f"mount --bind '{source}'", "deep/own"),
    )
    assert api.wait_for_job("job")["executionState"] == "succeeded"
    assert api.output("job") == b"precious\n"
    api.finish(api.call("DELETE", f"{api.workspace}/clusters/cluster")[1])


def test_a_mount_command_that_fails_tells_its_reason(api: Api) -> None:
    command = "echo no such server >&2; exit 32; #"
    api.create_cluster(nodeSetup={"mountVolumes": unmanaged(command)})
    [error] = api.wait_for_cluster(unusable=1)["errors"]
    details = {item["name"]: item["value"] for item in error["details"]}
    assert (error["code"], details["Info"], details["MountCommand"]) == ("MountFailed", "no such server", command)
    assert "'own'" in error["message"]


def test_files_on_a_file_server_are_listed_and_downloaded(api: Api) -> None:
    disks = {"diskSizeInGB": 1, "diskCount": 1, "storageAccountType": "Standard_LRS"}
    server = {"vmSize": "S", "sshConfiguration": {"userAccountSettings": USER}, "dataDisks": disks}
    api.finish(api.call("PUT", f"{api.workspace}/fileServers/nfs", {"properties": server})[1])
    reference = {"fileServer": {"id": f"{api.workspace}/fileServers/nfs"}, "relativeMountPath": "nfs"}
    api.create_cluster(nodeSetup={"mountVolumes": {"fileServers": [reference]}})
    root = "$AZ_BATCHAI_MOUNT_ROOT/nfs"
    api.create_job(
        "job",
        "echo out; echo m > $AZ_BATCHAI_OUTPUT_M/m",
        stdOutErrPathPrefix=root,
        outputDirectories=[{"id": "M", "pathPrefix": root}],
    )
    assert api.wait_for_job("job")["executionState"] == "succeeded"
    assert (api.output("job"), api.output("job", "m", "M")) == (b"out\n", b"m\n")


@pytest.mark.skipif(not shutil.which("ssh"), reason="there is no OpenSSH client on this machine")
@pytest.mark.recorded
def test_nodes_log_in_to_each_other_without_a_password(api: Api) -> None:
    """As the recorded test of password-less SSH had it: from the master to every node of the job."""
    api.create_cluster(nodes=3)
    line = (
        "for host in $(echo $AZ_BATCH_HOST_LIST | tr , ' '); do ssh $host 'echo on $AZ_BATCHAI_NODE_ID'; done; "
        "echo copied > file; last=${AZ_BATCH_HOST_LIST##*,}; scp -q file $last:from-master; ssh $last cat from-master"
    )
    api.create_job("job", line, nodeCount=3)
    done = api.wait_for_job("job")
    assert done["executionState"] == "succeeded", api.output("job", "stderr.txt")
    *names, copied = api.output("job").decode().splitlines()
    nodes = api.call("POST", f"{api.workspace}/clusters/cluster/listRemoteLoginInformation")[2]["value"]
    assert sorted(names) == sorted(f"on {node['nodeId']}" for node in nodes)
    assert copied == "copied"
    assert api.output("job", "stderr.txt") == b""
