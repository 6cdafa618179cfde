"""For each recorded command the extension sends the recorded requests: method, path, query and body."""

import pytest

from extension.scripted import SUBSCRIPTION, Answer
from facts import recordings

pytestmark = pytest.mark.recorded

GROUP = recordings.GROUP
ROOT = f"/subscriptions/{SUBSCRIPTION}"
IN_WORKSPACE = ("-g", GROUP, "-w", "workspace")
IN_EXPERIMENT = (*IN_WORKSPACE, "-e", "experiment")
ACCOUNT, KEY = recordings.ACCOUNT, recordings.KEY
USER = ("-u", recordings.USER, "-k", recordings.PUBLIC_KEY)
JOB = {
    "$schema": "https://raw.githubusercontent.com/Azure/BatchAI/master/schemas/2018-05-01/job.json",
    "properties": {
        "nodeCount": 1,
        "customToolkitSettings": {"commandLine": "echo hi | tee $AZ_BATCHAI_OUTPUT_OUTPUT/result.txt"},
        "stdOutErrPathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/azfiles",
        "outputDirectories": [{"id": "OUTPUT", "pathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/azfiles", "pathSuffix": "output"}],
        "containerSettings": {"imageSourceRegistry": {"image": "ubuntu"}},
    },
}


def cluster_file(scale: dict) -> dict:
    return {
        "properties": {
            "vmSize": "STANDARD_D1",
            "scaleSettings": scale,
            "nodeSetup": {
                "mountVolumes": {
                    "azureFileShares": [
                        {
                            "accountName": "<AZURE_BATCHAI_STORAGE_ACCOUNT>",
                            "azureFileUrl": "https://<AZURE_BATCHAI_STORAGE_ACCOUNT>.file.core.windows.net/share",
                            "credentials": {"accountKey": "<AZURE_BATCHAI_STORAGE_KEY>"},
                            "relativeMountPath": "azfiles",
                            "fileMode": "0777",
                            "directoryMode": "0777",
                        }
                    ]
                }
            },
            "userAccountSettings": {"adminUserName": recordings.USER, "adminUserPassword": recordings.PASSWORD},
        }
    }


@pytest.fixture
def storage(monkeypatch):
    monkeypatch.setenv("AZURE_BATCHAI_STORAGE_ACCOUNT", ACCOUNT)
    monkeypatch.setenv("AZURE_BATCHAI_STORAGE_KEY", KEY)


@pytest.fixture
def no_pauses(monkeypatch):
    monkeypatch.setattr("azext_batchai.jobs.wait.sleep", lambda *_: None)


@pytest.mark.parametrize(
    ("name", "n"),
    [("manual_scale_scenario", 7), ("cluster_with_auto_storage", 5), ("cluster_with_file_systems", 8)],
)
def test_workspace_create(az, server, recording, name, n):
    server.on("GET", f"{ROOT}/resourceGroups/{GROUP}", Answer(200, {"name": GROUP, "location": "northeurope"}))
    recording(name, n, n)
    done = az("batchai", "workspace", "create", "-g", GROUP, "-n", "workspace")
    assert (done.code, done.stderr) == (0, "")
    assert done.result["name"] == "workspace"
    assert done.result["location"] == "northeurope"
    assert done.result["resourceGroup"] == GROUP


def test_workspace_list(az, recording):
    recording("manual_scale_scenario", 8, 8)
    done = az("batchai", "workspace", "list", "-g", GROUP)
    assert [item["name"] for item in done.result] == ["workspace"]


def test_cluster_create_from_file(az, recording, storage, write_json):
    recording("manual_scale_scenario", 9, 12)
    file = write_json("cluster.json", cluster_file({"manual": {"targetNodeCount": 1}}))
    done = az("batchai", "cluster", "create", *IN_WORKSPACE, "-n", "cluster", "-f", file)
    assert (done.code, done.stderr) == (0, "")
    assert done.result["allocationState"] == "resizing"


def test_auto_scale_cluster_from_file(az, recording, storage, write_json):
    recording("auto_scale_scenario", 8, 11)
    file = write_json("cluster.json", cluster_file({"autoScale": {"minimumNodeCount": 0, "maximumNodeCount": 1}}))
    done = az("batchai", "cluster", "create", *IN_WORKSPACE, "-n", "cluster", "-f", file)
    assert done.result["scaleSettings"]["autoScale"]["initialNodeCount"] == 0


def test_cluster_create_with_file_systems(az, recording, storage, write_json):
    recording("cluster_with_file_systems", 9, 12)
    file = write_json("c.json", {"vmSize": "STANDARD_D1", "scaleSettings": {"manual": {"targetNodeCount": 1}}})
    done = az(
        *("batchai", "cluster", "create", *IN_WORKSPACE, "-n", "cluster", "-f", file),
        *("--afs-name", "share", "--bfs-name", "container", *USER),
    )
    assert (done.code, done.stderr) == (0, "")


def test_cluster_create_with_auto_storage(az, server, recording):
    group = f"{ROOT}/resourceGroups/batchaiautostorage"
    account = f"{group}/providers/Microsoft.Storage/storageAccounts/{ACCOUNT}"
    existing = {"name": ACCOUNT, "location": "northeurope", "id": account}
    server.on("HEAD", group, Answer(204))
    server.on("GET", account.rpartition("/")[0], Answer(200, {"value": [existing]}))
    server.on("POST", f"{account}/listKeys", Answer(200, {"keys": [{"keyName": "key1", "value": KEY}]}))
    server.on("PUT", f"{account}/fileServices/default/shares/batchaishare", Answer(201, {}))
    server.on("PUT", f"{account}/blobServices/default/containers/batchaicontainer", Answer(201, {}))
    recording("cluster_with_auto_storage", 6, 16)
    done = az(
        *("batchai", "cluster", "create", *IN_WORKSPACE, "-n", "cluster", "-i", "UbuntuLTS"),
        *("--vm-size", "STANDARD_D1", "-t", "0", *USER, "--use-auto-storage"),
    )
    assert done.code == 0
    assert ACCOUNT in done.stderr
    shares = done.result["nodeSetup"]["mountVolumes"]["azureFileShares"]
    assert shares[0]["accountName"] == ACCOUNT  # walkthrough row 7


@pytest.mark.parametrize(("name", "n"), [("cluster_with_file_systems", 13), ("auto_scale_scenario", 41)])
def test_cluster_show(az, recording, name, n):
    recording(name, n, n)
    done = az("batchai", "cluster", "show", *IN_WORKSPACE, "-n", "cluster", "-o", "table")
    header, _, row = done.output.splitlines()
    names = ["Name", "Resource Group", "Workspace", "VM Size", "State", "Idle", "Running", "Preparing", "Leaving"]
    assert header.split("  ")[0] == "Name"
    assert all(name in header for name in [*names, "Unusable"])
    assert row.split()[:5] == ["cluster", GROUP, "workspace", "STANDARD_D1", "steady"]


def test_cluster_list(az, recording):
    recording("manual_scale_scenario", 71, 71)
    assert az("batchai", "cluster", "list", *IN_WORKSPACE).result == []


@pytest.mark.parametrize(("n", "target"), [(37, "0"), (39, "1")])
def test_cluster_resize(az, recording, n, target):
    recording("manual_scale_scenario", n, n)
    done = az("batchai", "cluster", "resize", *IN_WORKSPACE, "-n", "cluster", "-t", target)
    assert done.result["scaleSettings"]["manual"]["targetNodeCount"] == int(target)


def test_cluster_delete(az, recording):
    recording("manual_scale_scenario", 61, 70)
    done = az("batchai", "cluster", "delete", *IN_WORKSPACE, "-n", "cluster", "-y")
    assert (done.code, done.output, done.stderr) == (0, "", "")


@pytest.mark.parametrize(("name", "n"), [("manual_scale_scenario", 13), ("auto_scale_scenario", 12)])
def test_experiment_create(az, recording, name, n):
    recording(name, n, n)
    done = az("batchai", "experiment", "create", *IN_WORKSPACE, "-n", "experiment")
    assert done.result["name"] == "experiment"


def test_experiment_list(az, recording):
    recording("manual_scale_scenario", 14, 14)
    done = az("batchai", "experiment", "list", *IN_WORKSPACE, "-o", "table")
    assert done.output.splitlines()[2].split() == ["experiment", GROUP, "workspace", "succeeded"]


@pytest.mark.parametrize(
    ("name", "first", "last", "job"),
    [
        ("manual_scale_scenario", 15, 19, "job"),
        ("manual_scale_scenario", 40, 44, "job2"),
        ("auto_scale_scenario", 13, 17, "job"),
    ],
)
def test_job_create(az, recording, write_json, name, first, last, job):
    recording(name, first, last)
    file = write_json("job.json", JOB)
    done = az("batchai", "job", "create", "-c", "cluster", *IN_EXPERIMENT, "-n", job, "-f", file)
    assert (done.code, done.stderr) == (0, "")
    assert done.result["executionState"] == "queued"


@pytest.mark.parametrize(
    ("name", "first", "last", "job"),
    [
        ("manual_scale_scenario", 20, 33, "job"),
        ("manual_scale_scenario", 45, 59, "job2"),
        ("auto_scale_scenario", 18, 39, "job"),
    ],
)
def test_job_wait(az, recording, no_pauses, name, first, last, job):
    recording(name, first, last)
    done = az("batchai", "job", "wait", *IN_EXPERIMENT, "-n", job)
    assert (done.code, done.output) == (0, "")
    told = [line.removeprefix("WARNING: ") for line in done.stderr.splitlines()]
    assert f"Job {job} is queued" in told
    assert f"Job {job} is running" in told
    assert told[-1].startswith(f"Job {job} succeeded after ")


def test_job_show(az, recording):
    recording("manual_scale_scenario", 34, 34)
    done = az("batchai", "job", "show", *IN_EXPERIMENT, "-n", "job", "-o", "table")
    row = done.output.splitlines()[2].split()
    assert row == ["job", "cluster", GROUP, "workspace", "custom", "1", "succeeded", "0"]


@pytest.mark.parametrize(
    ("n", "directory", "names"),
    [(35, "stdouterr", ["execution.log", "stderr.txt", "stdout.txt"]), (36, "OUTPUT", ["result.txt"])],
)
def test_job_file_list(az, recording, n, directory, names):
    recording("manual_scale_scenario", n, n)
    done = az("batchai", "job", "file", "list", *IN_EXPERIMENT, "-j", "job", "-d", directory)
    assert [item["name"] for item in done.result] == names
    assert all(item["downloadUrl"].startswith("https://") for item in done.result)


@pytest.mark.parametrize(("first", "job"), [(72, "job"), (74, "job2")])
def test_job_delete(az, recording, first, job):
    recording("manual_scale_scenario", first, first + 1)
    done = az("batchai", "job", "delete", *IN_EXPERIMENT, "-n", job, "-y")
    assert (done.code, done.output) == (0, "")


def test_job_list(az, recording):
    recording("manual_scale_scenario", 76, 76)
    assert az("batchai", "job", "list", *IN_EXPERIMENT).result == []


@pytest.mark.parametrize("n", [0, 1])
def test_list_usages(az, recording, n):
    recording("usages", n, n)
    done = az("batchai", "list-usages", "-l", "northeurope", "-o", "table")
    assert done.output.splitlines()[2].split() == ["Clusters", "5", "20"]
    assert len(done.output.splitlines()) == 2 + 17
