"""`cluster file list` against the storage that the embedded service serves: what is listed can be downloaded."""

import urllib.error
import urllib.request
from urllib.parse import urlsplit

import pytest

from harness import az
from harness.cluster import ok, wait_for_nodes
from harness.service import Service

pytestmark = pytest.mark.documented

WORKSPACE = ("-g", "research", "-w", "setup")
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture(scope="module", params=["afs", "bfs"])
def listing(service: Service, request: pytest.FixtureRequest):
    """`listing(*options)` of a cluster whose setup task wrote to a file share, or to a container."""
    mount = request.param
    ok(az.run("batchai", "workspace", "create", "-g", "research", "-n", "setup"))
    output = f"$AZ_BATCHAI_MOUNT_ROOT/auto{mount}/logs"
    ok(
        az.run(
            *("batchai", "cluster", "create", *WORKSPACE, "-n", mount, "-s", "Standard_D1", "-t", "1", "-p", "pw"),
            *("--use-auto-storage", "--setup-task", "echo installed; echo careful >&2", "--setup-task-output", output),
        )
    )
    wait_for_nodes("setup", mount, idle=1)
    return lambda *options: ok(az.run("batchai", "cluster", "file", "list", *WORKSPACE, "-c", mount, *options))


def get(url: str) -> str:
    assert urlsplit(url).hostname == "127.0.0.1"
    with _DIRECT.open(url, timeout=30) as response:
        return response.read().decode()


def test_files_of_the_node(listing):
    files = {item["name"].partition("-")[0]: item for item in listing()}
    assert set(files) == {"stdout", "stderr"}
    assert [files[name]["size"] for name in ("stdout", "stderr")] == [10, 8]
    assert get(files["stdout"]["download_url"]) == "installed\n"
    assert get(files["stderr"]["download_url"]) == "careful\n"


def test_link_is_for_one_file_only(listing):
    url = listing("--expiry", "5")[0]["download_url"]
    with pytest.raises(urllib.error.HTTPError) as refused:
        get(url.replace("stderr", "stdout"))
    refused.value.close()
    assert refused.value.code == 403


def test_folder_that_is_not_there(listing):
    assert listing("--path", "nowhere") == []
