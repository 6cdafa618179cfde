"""Storage and clusters together: what a user uploads is what jobs read, what jobs write is what a user downloads."""

import urllib.request
from pathlib import Path

import pytest
from azure.storage.blob import BlobServiceClient

from harness import az
from harness.cluster import ok, wait_for_nodes
from harness.service import Service
from wire import accounts

RG = "research"
# As the real thing does, with arguments; the script is uploaded, its data too, and its result is downloaded.
SCRIPT = """import os, sys
root = os.environ["AZ_BATCHAI_MOUNT_ROOT"]
numbers = [float(line) for line in open(os.path.join(root, "data", "numbers.txt"))]
with open(os.path.join(root, "afs", "runs", "mean.txt"), "w") as out:
    print(sum(numbers) / len(numbers), file=out)
print("trained on", len(numbers))
"""


@pytest.fixture(scope="module")
def account(service: Service) -> accounts.Account:
    return accounts.create(service, "storyaccount")


@pytest.fixture
def storage(account: accounts.Account, monkeypatch: pytest.MonkeyPatch) -> accounts.Account:
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", account.connection_string)
    return account


@pytest.mark.documented
def test_script_up_job_output_down(storage: accounts.Account, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT, encoding="utf-8")
    (tmp_path / "numbers.txt").write_text("1\n2\n6\n", encoding="utf-8")
    ok(az.run("storage", "share", "create", "-n", "work"))
    ok(az.run("storage", "directory", "create", "-s", "work", "-n", "runs"))
    ok(az.run("storage", "file", "upload", "-s", "work", "--source", str(tmp_path / "train.py")))
    ok(az.run("storage", "container", "create", "-n", "numbers"))
    ok(az.run("storage", "blob", "upload", "-c", "numbers", "-n", "numbers.txt", "-f", str(tmp_path / "numbers.txt")))

    where = ("-g", RG, "-w", "story")
    ok(az.run("batchai", "workspace", "create", "-g", RG, "-n", "story"))
    ok(az.run("batchai", "experiment", "create", *where, "-n", "exp"))
    ok(
        az.run(
            *("batchai", "cluster", "create", *where, "-n", "nc6", "-s", "Standard_NC6", "-t", "1"),
            *("-u", "alice", "-p", "secretpassword", "--storage-account-name", storage.name),
            *("--afs-name", "work", "--afs-mount-path", "afs", "--bfs-name", "numbers", "--bfs-mount-path", "data"),
        )
    )
    wait_for_nodes("story", "nc6", idle=1)
    (tmp_path / "job.json").write_text(
        """{"properties": {"nodeCount": 1, "stdOutErrPathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/afs",
            "customToolkitSettings": {"commandLine": "python3 $AZ_BATCHAI_MOUNT_ROOT/afs/train.py"}}}""",
        encoding="utf-8",
    )
    job = ("-e", "exp", "-n", "mean")
    ok(az.run("batchai", "job", "create", *where, *job, "-c", "nc6", "-f", str(tmp_path / "job.json")))
    assert az.run("batchai", "job", "wait", *where, *job).code == 0

    ok(az.run("storage", "file", "download", "-s", "work", "-p", "runs/mean.txt", "--dest", str(tmp_path / "mean")))
    assert (tmp_path / "mean").read_text() == "3.0\n"
    shown = ok(az.run("batchai", "job", "show", *where, *job))
    folder = f"{shown['jobOutputDirectoryPathSegment']}/stdouterr"
    assert "stdout.txt" in [item["name"] for item in ok(az.run("storage", "file", "list", "-s", "work", "-p", folder))]
    ok(
        az.run(
            "storage", "file", "download", "-s", "work", "-p", f"{folder}/stdout.txt", "--dest", str(tmp_path / "out")
        )
    )
    assert (tmp_path / "out").read_text() == "trained on 3\n"


@pytest.mark.documented
@pytest.mark.parametrize(
    ("kind", "mount"),
    [("afs", ("--afs-name", "setup", "--afs-mount-path")), ("bfs", ("--bfs-name", "setup", "--bfs-mount-path"))],
)
def test_cluster_file_list(service: Service, storage: accounts.Account, kind: str, mount: tuple[str, ...]) -> None:
    workspace = f"listed{kind}"
    ok(az.run("batchai", "workspace", "create", "-g", RG, "-n", workspace))
    where = ("-g", RG, "-w", workspace)
    task = "mkdir -p $AZ_BATCHAI_MOUNT_ROOT/vol/x; echo installed"
    ok(
        az.run(
            *("batchai", "cluster", "create", *where, "-n", "mycluster", "-s", "Standard_NC6", "-t", "1"),
            *("-u", "alice", "-p", "secretpassword", "--storage-account-name", storage.name, *mount, "vol"),
            *("--setup-task", task, "--setup-task-output", "$AZ_BATCHAI_MOUNT_ROOT/vol/setup"),
        )
    )
    wait_for_nodes(workspace, idle=1)
    listed = ok(az.run("batchai", "cluster", "file", "list", *where, "-c", "mycluster"))
    [out] = [item for item in listed if item["name"].startswith("stdout-")]
    assert (out["is_directory"], out["size"]) == (False, len("installed\n"))
    assert storage.endpoints["file" if kind == "afs" else "blob"] in out["download_url"]
    with urllib.request.urlopen(out["download_url"], timeout=10) as response:
        assert response.read() == b"installed\n"


@pytest.mark.invented
def test_the_connection_string_is_printed(storage: accounts.Account) -> None:
    command = ("batchai", "local", "connection-string", "-n", storage.name)
    assert ok(az.run(*command)) == {"connectionString": storage.connection_string}


@pytest.mark.invented
def test_the_account_of_a_connection_string_is_made(service: Service) -> None:
    command = ("batchai", "local", "connection-string", "-n")
    for name, group in (("madefirst", ("-g", "mine")), ("madesecond", ())):
        first = az.run(*command, name, *group)
        assert f"Created the storage account {name}" in first.stderr
        again = az.run(*command, name)
        assert (ok(first), again.stderr) == (ok(again), "")
        client = BlobServiceClient.from_connection_string(ok(first)["connectionString"], retry_total=0)
        assert list(client.list_containers()) == []
    listed = service.request("GET", f"/subscriptions/{service.info['subscription']}/resourcegroups?api-version=1")[2]
    assert {"mine", "local"} <= {group["name"] for group in listed["value"]}
    refused = az.run(*command, "Not-A-Name")
    assert refused.code == 1 and "not a valid storage account name" in refused.stderr
