"""Jobs in containers, by the machine's podman with an image made from a busybox (wire.md 10.4)."""

import base64
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.processes import wait_until
from harness.service import Service
from wire.api import Api

pytestmark = pytest.mark.documented
# What a machine without systemd and with few privileges needs; harmless elsewhere.
GLOBAL = ("--events-backend=file", "--cgroup-manager=cgroupfs")
ULIMITS = "--ulimit nofile=1024:2048 --ulimit nproc=1000:1000"
IMAGE = "localhost/batchai-test:latest"


def podman(*arguments: str, **options: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["podman", *GLOBAL, *arguments], capture_output=True, text=True, check=False, **options)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image with nothing but busybox: no bash, no Python."""
    busybox = shutil.which("busybox")
    if not shutil.which("podman") or not busybox:
        pytest.skip("podman and a static busybox are needed")
    if not _static(busybox):
        pytest.skip("the busybox here is not static")
    root = tmp_path_factory.mktemp("image")
    for name in ("bin", "proc", "dev", "sys", "tmp", "etc", "root"):
        (root / name).mkdir()
    shutil.copy(busybox, root / "bin" / "busybox")
    for name in ("sh", "sleep", "cat", "echo", "env", "kill", "id", "df", "touch", "ls", "true", "mkdir"):
        (root / "bin" / name).symlink_to("busybox")
    archive = root.parent / f"{root.name}.tar"
    subprocess.run(["tar", "-C", str(root), "-cf", str(archive), "."], check=True)
    imported = podman("import", str(archive), IMAGE)
    if imported.returncode != 0:
        pytest.skip(f"podman cannot import an image here: {imported.stderr.strip()[-200:]}")
    tried = podman("run", "--rm", "--network=host", *ULIMITS.split(), IMAGE, "true")
    if tried.returncode != 0:
        pytest.skip(f"podman cannot run a container here: {tried.stderr.strip()[-200:]}")
    return IMAGE


def _static(program: str) -> bool:
    return subprocess.run(["ldd", program], capture_output=True, check=False).returncode != 0


@pytest.fixture(scope="module")
def cluster(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("AZURE_BATCHAI_CONTAINER_COMMAND", " ".join(["podman", *GLOBAL]))
        monkeypatch.setenv("AZURE_BATCHAI_CONTAINER_RUN_ARGUMENTS", ULIMITS)
        service = Service(tmp_path_factory.mktemp("home"))
        assert service.start()["status"] == "ready"
        try:
            api = Api(service, "containers")
            api.create_cluster(nodes=2)
            api.wait_for_cluster(idle=2)
            _nodes[:] = [folder.name for folder in (service.home / "nodes").iterdir()]
            yield api
        finally:
            service.destroy()
    assert not containers()


_nodes: list[str] = []


def containers() -> list[str]:
    """Those of the module's nodes: other services of this machine have their own."""
    names = podman("ps", "-a", "--format", "{{.Names}}").stdout.split()
    return [name for name in names if any(node in name for node in _nodes)]


def settings(image: str = IMAGE, **more: object) -> dict[str, object]:
    return {"containerSettings": {"imageSourceRegistry": {"image": image}, **more}}


def test_a_job_runs_in_its_image_as_on_a_node(cluster: Api) -> None:
    line = (
        "test -x /bin/busybox && test ! -e /usr || exit 7; cat prepared; cat /made; echo $PLAIN $SECRET; "
        "echo model > $AZ_BATCHAI_OUTPUT_MODEL/m; echo err >&2; exit 3"
    )
    cluster.create_job(
        "job",
        line,
        **settings(),
        jobPreparation={"commandLine": "echo prepared > prepared; echo same container > /made"},
        environmentVariables=[{"name": "PLAIN", "value": "a b"}],
        secrets=[{"name": "SECRET", "value": "s3cret"}],
        outputDirectories=[{"id": "MODEL", "pathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/afs"}],
    )
    done = cluster.wait_for_job("job")
    assert done["executionInfo"]["exitCode"] == 3, done
    assert cluster.output("job") == b"prepared\nsame container\na b s3cret\n"
    assert cluster.output("job", "stderr.txt") == b"err\n"
    assert cluster.output("job", "m", "MODEL") == b"model\n"
    assert not containers()


def test_terminating_a_job_removes_its_container(cluster: Api) -> None:
    line = "trap 'echo saved; exit 0' TERM; echo ready; while true; do sleep 0.1; done"
    cluster.create_job("ended", line, **settings())
    stdout = "begun"
    share = cluster.service.home / "storage" / cluster.account / "files" / "share"
    wait_until(lambda: any(path.read_text() for path in share.rglob("stdout.txt") if "/ended/" in str(path)), stdout)
    assert len(containers()) == 1
    _, headers, _ = cluster.call("POST", f"{cluster.job('ended')}/terminate")
    assert cluster.finish(headers)["status"] == "Succeeded"
    assert not containers()
    assert cluster.output("ended") == b"ready\nsaved\n"  # it was told before it was killed


def test_the_shared_memory_is_as_large_as_asked_for(cluster: Api) -> None:
    cluster.create_job("shm", "df -k /dev/shm", **settings(shmSize="7m"))
    assert cluster.wait_for_job("shm")["executionState"] == "succeeded"
    assert b" 7168 " in cluster.output("shm")


def test_an_image_that_cannot_be_had_says_why(cluster: Api) -> None:
    cluster.create_job("none", "true", **settings("127.0.0.1:9/no/such:image"))
    done = cluster.wait_for_job("none")
    [error] = done["executionInfo"]["errors"]
    assert (error["code"], error["message"]) == ("FailedStartingContainer", "unable to start docker container")
    details = {item["name"]: item["value"] for item in error["details"]}
    assert details["imageName"] == "127.0.0.1:9/no/such:image"
    assert details["Info"]
    assert "exitCode" not in done["executionInfo"]


def test_a_job_in_a_container_outlives_the_service(cluster: Api) -> None:
    cluster.create_job(
        "long", "while test ! -e $AZ_BATCHAI_MOUNT_ROOT/afs/go; do sleep 0.05; done; exit 6", **settings()
    )
    wait_until(containers, "the container runs")
    cluster.wait_for_job("long", "running")
    time.sleep(0.5)
    cluster.service.kill()
    assert cluster.service.start()["status"] == "ready"
    assert cluster.properties(cluster.job("long"))["executionState"] == "running"
    (cluster.service.home / "storage" / cluster.account / "files" / "share" / "go").touch()
    assert cluster.wait_for_job("long")["executionInfo"]["exitCode"] == 6
    assert not containers()


def test_a_private_registry(cluster: Api, image: str, tmp_path: Path) -> None:
    registry = shutil.which("docker-registry")
    htpasswd = shutil.which("htpasswd")
    if not registry or not htpasswd:
        pytest.skip("docker-registry and htpasswd are needed")
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    users = tmp_path / "users"
    users.write_text(
        subprocess.run([htpasswd, "-Bbn", "user", "pass-w0rd"], capture_output=True, text=True, check=True).stdout
    )
    config = tmp_path / "config.yml"
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/images}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\nauth: {{htpasswd: {{realm: test, path: {users}}}}}\n"
    )
    server = subprocess.Popen([registry, "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        name = f"127.0.0.1:{port}/team/{uuid.uuid4().hex[:8]}"
        pushed = wait_until(
            lambda: podman("push", "--tls-verify=false", "--creds", "user:pass-w0rd", image, name).returncode == 0,
            "the image is in the registry",
        )
        assert pushed
        source = {"image": name, "credentials": {"username": "user", "password": "wrong"}}
        cluster.create_job("refused", "true", containerSettings={"imageSourceRegistry": source})
        [error] = cluster.wait_for_job("refused")["executionInfo"]["errors"]
        assert error["code"] == "FailedStartingContainer"
        source["credentials"] = {"username": "user", "password": "pass-w0rd"}
        cluster.create_job("granted", "echo in", containerSettings={"imageSourceRegistry": source})
        done = cluster.wait_for_job("granted")
        assert done["executionState"] == "succeeded", done
        shown = done["containerSettings"]["imageSourceRegistry"]
        assert shown == {"image": name, "credentials": {"username": "user"}}
        podman("rmi", name)
        secret = base64.b64encode(b"user:pass-w0rd")
        for path in cluster.service.home.rglob("*"):
            if path.is_file():
                content = path.read_bytes()
                assert b"pass-w0rd" not in content and secret not in content, path
    finally:
        server.terminate()
        server.wait()


def test_an_opted_in_service_runs_them_on_the_node_and_says_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_BATCHAI_CONTAINERS_ON_HOST", "1")
    service = Service(home)
    assert service.start()["status"] == "ready"
    api = Api(service, "host")
    api.create_cluster()
    api.create_job("job", "test -d /proc && echo on the host", **settings("no/such:image"))
    assert api.wait_for_job("job")["executionState"] == "succeeded"
    assert b"no/such:image is not used" in api.output("job", "execution.log")


def test_without_a_runtime_the_reason_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_BATCHAI_CONTAINER_COMMAND", "/no/such/runtime")
    service = Service(home)
    assert service.start()["status"] == "ready"
    api = Api(service, "none")
    api.create_cluster()
    api.create_job("job", "true", **settings("ubuntu"))
    [error] = api.wait_for_job("job")["executionInfo"]["errors"]
    assert error["code"] == "FailedStartingContainer"
    assert "no podman or docker" in str(error["details"])


@pytest.mark.parametrize("step", ["pull", "run"])
def test_a_client_without_its_daemon_says_so_and_what_to_do(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    client = tmp_path / "docker"
    working = "image" if step == "run" else "version"
    client.write_text(
        f'#!/bin/sh\n[ "$1" = {working} ] && exit 0\n'
        "echo 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is it running?' >&2\nexit 1\n"
    )
    client.chmod(0o700)
    monkeypatch.setenv("AZURE_BATCHAI_CONTAINER_COMMAND", str(client))
    service = Service(home)
    assert service.start()["status"] == "ready"
    api = Api(service, "none")
    api.create_cluster()
    api.create_job("job", "true", **settings("ubuntu"))
    [error] = api.wait_for_job("job")["executionInfo"]["errors"]
    assert error["code"] == "FailedStartingContainer"
    info = {detail["name"]: detail["value"] for detail in error["details"]}["Info"]
    for words in ("Cannot connect to the Docker daemon", "`docker info`", "AZURE_BATCHAI_CONTAINERS_ON_HOST=1"):
        assert words in info
