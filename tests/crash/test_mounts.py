"""Mounts, containers, file servers and MPI jobs of a service that is killed."""

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from azext_batchai.service.engine.local.containers import ContainerRuntime
from crash import machine
from crash.conftest import Crashes
from crash.test_recovery import LONG, left_of_jobs
from harness.local_host import with_host
from harness.processes import alive, wait_until
from wire.api import USER

pytestmark = pytest.mark.invented


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Path]:
    """A folder that the user's own command mounts."""
    if not machine.can_mount(tmp_path):
        pytest.skip("this machine does not let us mount")
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "data").write_text("precious\n")
    yield folder
    assert (folder / "data").read_text() == "precious\n"
    assert str(folder) not in Path("/proc/self/mountinfo").read_text()


def unmanaged(source: Path) -> dict[str, object]:
    return {"unmanagedFileSystems": [{"mountCommand": f"mount --bind {source}", "relativeMountPath": "own"}]}


def mounts_below(folder: Path) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split()[4] for line in lines if line.split()[4].startswith(f"{folder}/")]


@pytest.mark.parametrize("gone", [False, True], ids=["still mounted", "no longer mounted"])
def test_a_clusters_own_mount_is_there_after_a_kill(crashes: Crashes, source: Path, gone: bool) -> None:
    """Gone as after a reboot of the machine."""
    crashes.create_cluster(nodeSetup={"mountVolumes": {**crashes.mounts(), **unmanaged(source)}})
    crashes.wait_for_cluster(idle=1)
    crashes.service.kill()
    if gone:
        for place in mounts_below(crashes.service.home):
            subprocess.run(["umount", place], check=True)
    crashes.restart()
    crashes.create_job("job", "echo into the mount", stdOutErrPathPrefix="$AZ_BATCHAI_MOUNT_ROOT/own")
    assert crashes.wait_for_job("job")["executionState"] == "succeeded"
    [output] = source.rglob("stdout.txt")
    assert output.read_text() == "into the mount\n"
    assert len(mounts_below(crashes.service.home)) == 1
    crashes.finish(crashes.call("DELETE", f"{crashes.workspace}/clusters/cluster")[1])


def test_a_jobs_own_mount_goes_with_the_job(crashes: Crashes, source: Path) -> None:
    """The service is killed when the job has ended, before anything of it is removed."""
    crashes.create_cluster()
    crashes.create_job("job", f"cat $AZ_BATCHAI_JOB_MOUNT_ROOT/own/data; {LONG}", mountVolumes=unmanaged(source))
    crashes.begun()
    crashes.restart(at="before run:1")  # umount
    (crashes.share / "go").touch()
    crashes.dies()
    assert mounts_below(crashes.service.home)
    crashes.restart()
    assert crashes.wait_for_job("job")["executionState"] == "succeeded"
    assert crashes.output("job") == b"precious\n"
    wait_until(lambda: not mounts_below(crashes.service.home) and not left_of_jobs(crashes), "all of it is gone")


def test_links_are_left_alone_while_a_job_uses_them(crashes: Crashes) -> None:
    crashes.create_cluster()
    links = "$AZ_BATCHAI_JOB_MOUNT_ROOT/afs $AZ_BATCHAI_MOUNT_ROOT/afs"
    line = f"{LONG.partition('while')[0]} while [ ! -e go ]; do stat -c '%n %z' {links}; done"
    crashes.create_job("job", line, mountVolumes=crashes.mounts())
    crashes.begun()
    for number in range(3):
        crashes.restart()
        crashes.create_job(f"next{number}")
    (crashes.share / "go").touch()
    crashes.wait_for_job("next2")
    assert len(set(crashes.output("job").splitlines())) == 2  # each was made once, maybe in one tick of the clock
    assert crashes.output("job", "stderr.txt") == b""


@pytest.fixture
def image(crashes: Crashes, tmp_path: Path) -> str:
    name = machine.image(tmp_path)
    if not name:
        pytest.skip("no container runs on this machine")
    crashes.service.settings.update(machine.CONTAINERS)
    crashes.restart()
    return name


def in_container(image: str) -> dict[str, object]:
    return {"containerSettings": {"imageSourceRegistry": {"image": image}}}


def test_a_container_sees_the_clusters_volumes_after_a_kill(crashes: Crashes, image: str) -> None:
    crashes.create_cluster()
    crashes.wait_for_cluster(idle=1)
    crashes.restart()
    crashes.create_job("job", "echo here > $AZ_BATCHAI_MOUNT_ROOT/afs/written", **in_container(image))
    assert crashes.wait_for_job("job")["executionState"] == "succeeded"
    assert (crashes.share / "written").read_text() == "here\n"


@pytest.mark.parametrize("moment", ["after the start of podman:3", "after a start:1"])
@pytest.mark.parametrize("terminated", [False, True], ids=["ends", "is terminated"])
def test_no_container_is_left(crashes: Crashes, image: str, moment: str, terminated: bool) -> None:
    crashes.create_cluster()
    crashes.wait_for_cluster(idle=1)
    crashes.restart(at=moment)
    crashes.create_job("job", "sleep 0.3; exit 6", **in_container(image))
    if not crashes.service.died(3):
        crashes.service.kill()
    crashes.restart()
    if terminated:
        _, headers, _ = crashes.call("POST", f"{crashes.job('job')}/terminate")
        if headers["azure-asyncoperation"]:
            crashes.finish(headers)
    info = crashes.wait_for_job("job")["executionInfo"]
    assert info.get("exitCode") == 6 or (terminated and info["errors"][0]["code"] == "JobTerminated"), info
    assert not machine.containers(crashes.node_folder().name)


@pytest.fixture
def apart() -> Iterator[tuple[str, ...]]:
    """A podman of which the one that the service uses knows nothing."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))  # it takes no longer path
    yield (*machine.PODMAN, "--root", str(folder / "root"), "--runroot", str(folder / "run"))

    def removed() -> bool:  # what the monitor has started at last may still be at work there
        for place in reversed(mounts_below(folder)):
            subprocess.run(["umount", "-l", place], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()

    wait_until(removed, "it has left nothing")


def test_what_podman_has_forgotten_of_a_container_is_ended(
    image: str, apart: tuple[str, ...], tmp_path: Path
) -> None:
    """One that is killed over a container leaves its first process and the monitor of that; it happens seldom."""
    name = f"batchai-{uuid.uuid4()}-1-tvm-of-no-cluster"
    for words in (
        ("import", str(tmp_path / "image.tar"), image),
        ("create", "--name", name, "--network=host", *machine.ULIMITS, image, "sleep", "1000"),
        ("init", name),
    ):
        done = subprocess.run([*apart, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    (monitor,) = machine.monitors(name)
    children = Path(f"/proc/{monitor}/task/{monitor}/children").read_text().split()
    assert children
    with_host(lambda host: ContainerRuntime(host, machine.PODMAN, ()).remove(f"{name}0"))  # another one
    assert machine.monitors(name) == [monitor]
    with_host(lambda host: ContainerRuntime(host, machine.PODMAN, ()).remove(name))
    wait_until(lambda: not machine.monitors(name), "the monitor is gone")
    wait_until(lambda: not any(alive(int(child)) for child in children), "so is the first process")


def test_a_slow_runtime_does_not_go_on_beside_the_next_service(crashes: Crashes, image: str, tmp_path: Path) -> None:
    """The service dies while the runtime makes the container; the next one makes it under the same name."""
    runtime = tmp_path / "podman"
    real = " ".join(machine.PODMAN)
    runtime.write_text(f'#!/bin/sh\n[ "$1" != run ] || sleep 2\nexec {real} "$@"\n')
    runtime.chmod(0o700)
    crashes.service.settings["AZURE_BATCHAI_CONTAINER_COMMAND"] = str(runtime)
    crashes.restart()
    crashes.create_cluster()
    crashes.wait_for_cluster(idle=1)
    crashes.restart(at="after the start of podman:3")
    crashes.create_job("job", "exit 6", **in_container(image))
    crashes.dies()
    crashes.restart()
    info = crashes.wait_for_job("job")["executionInfo"]
    assert info.get("exitCode") == 6, info
    assert not machine.containers(crashes.node_folder().name)


def test_a_terminated_container_gets_its_grace_after_a_kill(crashes: Crashes, image: str) -> None:
    crashes.create_cluster()
    line = "trap 'echo saved > $AZ_BATCHAI_MOUNT_ROOT/afs/saved; exit 0' TERM; echo > $AZ_BATCHAI_MOUNT_ROOT/afs/begun"
    crashes.create_job("job", f"{line}; while true; do sleep 0.05; done", **in_container(image))
    crashes.begun()
    crashes.restart(at="before the start of podman:2")  # the first one finds the container, the second one tells it
    assert crashes.call("POST", f"{crashes.job('job')}/terminate")[0] == 202
    crashes.dies()
    crashes.restart()
    assert crashes.wait_for_job("job")["executionInfo"]["errors"][0]["code"] == "JobTerminated"
    assert (crashes.share / "saved").read_text() == "saved\n"


@pytest.mark.skipif(not shutil.which("mpirun"), reason="there is no Open MPI on this machine")
def test_an_mpi_job_goes_on(crashes: Crashes) -> None:
    crashes.create_cluster(nodes=2)
    line = f"echo rank $OMPI_COMM_WORLD_RANK; {LONG}; exit 4"
    body = crashes.job_body(nodeCount=2)
    del body["properties"]["customToolkitSettings"]
    body["properties"]["customMpiSettings"] = {"commandLine": line, "processCount": 2}
    assert crashes.call("PUT", crashes.job("mpi"), body)[0] == 202
    crashes.begun()
    for _ in range(3):
        crashes.restart()
    (crashes.share / "go").touch()
    assert crashes.wait_for_job("mpi")["executionInfo"]["exitCode"] == 4
    lines = [line for line in crashes.output("mpi").decode().splitlines() if line.startswith("rank")]
    assert sorted(lines) == ["rank 0", "rank 1"]


@pytest.mark.parametrize("moment", ["after COMMIT:1", "before replace:1", "after replace:1", "before COMMIT:2"])
def test_a_file_server_is_made_after_all(crashes: Crashes, moment: str) -> None:
    crashes.restart(at=moment)
    disks = {"diskSizeInGB": 1, "diskCount": 1, "storageAccountType": "Standard_LRS"}
    server = {"vmSize": "S", "sshConfiguration": {"userAccountSettings": USER}, "dataDisks": disks}
    path = f"{crashes.workspace}/fileServers/nfs"
    status = 0
    try:
        status = crashes.call("PUT", path, {"properties": server})[0]
    except OSError:
        pass
    crashes.dies()
    crashes.restart()
    if status == 202 or crashes.call("GET", path)[0] == 200:
        wait_until(lambda: crashes.properties(path)["provisioningState"] == "succeeded", "it is there")
        assert os.listdir(crashes.service.home / "fileservers")
        crashes.finish(crashes.call("DELETE", path)[1])
    assert not list((crashes.service.home / "fileservers").glob("*"))
