"""Fixtures of the conformance suite: the clients, each with the environment that it needs."""

import contextlib
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.arm_front import TENANT, Front
from conformance.clients import HERE, AzClient, Peer, PeerAz, SdkClient
from harness import az as az_module
from harness.sandbox import CHECKOUT
from harness.service import Service

SUBSCRIPTION = "22222222-3333-4444-5555-666666666666"
# The SDK of 2026 has neither; the module that azure-cli ships calls it.
NO_SINGLE_FILE_SERVER = ("get_file_server", "delete_file_server")
RELEASES = {"7.0.0": ("azure-mgmt-batchai==7.0.0", "msrest", "aiohttp"), "2.0.0": ("azure-mgmt-batchai==2.0.0",)}


def environment_of(release: str) -> Path:
    """The Python of an environment with one release of the SDK, made at first use and kept in build/."""
    folder = CHECKOUT / "build" / "clients" / f"{release}-py{sys.version_info.major}.{sys.version_info.minor}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    ready = folder / ".ready"
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several workers want it at once
        if not ready.exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
            command = [folder / "bin" / "python", "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
            done = subprocess.run([*command, *RELEASES[release]], capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"{' '.join(RELEASES[release])} cannot be installed: {done.stderr.strip()[-300:]}")
            ready.touch()
    return folder / "bin" / "python"


@contextlib.contextmanager
def sdk(release: str, service: Service, folder: Path) -> Iterator[SdkClient]:
    python = environment_of(release.partition("-")[0])
    info = service.info
    command = [str(python), str(HERE / "sdk_driver.py"), release, info["endpoint"], info["token"], SUBSCRIPTION]
    peer = Peer(command, folder / "client.log")
    yield SdkClient(peer, NO_SINGLE_FILE_SERVER if release.startswith("7") else ())
    peer.close()


@contextlib.contextmanager
def extension(service: Service, folder: Path) -> Iterator[AzClient]:
    yield AzClient(lambda *args: az_module.run(*args, "--subscription", SUBSCRIPTION), folder)


@contextlib.contextmanager
def built_in(service: Service, folder: Path) -> Iterator[AzClient]:
    """az without any extension, logged in to a cloud that is our service behind TLS."""
    import certifi

    info = service.info
    front = Front(folder, info["endpoint"], info["token"], SUBSCRIPTION)
    bundle = folder / "bundle.pem"
    bundle.write_text(Path(certifi.where()).read_text(encoding="utf-8") + front.certificate.read_text(encoding="utf-8"))
    env = {
        **os.environ,
        "AZURE_CONFIG_DIR": str(folder / "azure"),
        "AZURE_EXTENSION_DIR": str(folder / "no-extensions"),
        "AZURE_BATCHAI_HOME": str(folder / "unused"),
        "REQUESTS_CA_BUNDLE": str(bundle),
        "PYTHONPATH": os.pathsep.join([str(CHECKOUT / "tests"), os.environ.get("PYTHONPATH", "")]),
    }
    az = PeerAz(env, folder / "client.log")
    for command in (
        ("cloud", "register", "-n", "Local", "--endpoint-resource-manager", front.url),
        ("cloud", "set", "-n", "Local"),
        ("config", "set", "core.instance_discovery=false", "core.login_experience_v2=off"),
        ("login", "--service-principal", "-u", "somebody", "-p", "something", "--tenant", TENANT),
    ):
        outcome = az(*command)
        assert outcome.code == 0, f"az {' '.join(command)}: {outcome.stderr}"
    assert "deprecated" in az("batchai", "workspace", "list").stderr  # as the built-in module says of itself
    yield AzClient(az, folder, ("create_file_server", *NO_SINGLE_FILE_SERVER))
    az.peer.close()
    front.close()


CLIENTS: dict[str, Callable[[Service, Path], contextlib.AbstractContextManager[AzClient | SdkClient]]] = {
    "extension": extension,
    "built-in az": built_in,
    "sdk 7.0.0": lambda service, folder: sdk("7.0.0", service, folder),
    "sdk 7.0.0 aio": lambda service, folder: sdk("7.0.0-aio", service, folder),
    "sdk 2.0.0": lambda service, folder: sdk("2.0.0", service, folder),
}


@pytest.fixture(scope="module", params=CLIENTS)
def client(
    request: pytest.FixtureRequest, service: Service, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AzClient | SdkClient]:
    with CLIENTS[request.param](service, tmp_path_factory.mktemp("client")) as made:
        yield made
