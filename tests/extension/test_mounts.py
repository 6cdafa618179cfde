"""Storage on the command line and in configuration files: names, keys, mounts, auto storage."""

import re

import pytest

from extension.scripted import SUBSCRIPTION, Answer, Request

ROOT = f"/subscriptions/{SUBSCRIPTION}"
WORKSPACE = f"{ROOT}/resourceGroups/g/providers/Microsoft.BatchAI/workspaces/w"
CLUSTER = f"{WORKSPACE}/clusters/c"
ACCOUNTS = f"{ROOT}/providers/Microsoft.Storage/storageAccounts"
CREATE = ("batchai", "cluster", "create", "-g", "g", "-w", "w", "-n", "c", "-s", "s", "-t", "0", "-u", "me", "-p", "pw")
NO_CLUSTER = Answer(404, {"error": {"code": "ClusterNotFound", "message": "m"}})


def account(name: str, group: str = "stores", location: str = "eastus") -> dict:
    path = f"{ROOT}/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{name}"
    return {"name": name, "id": path, "location": location}


@pytest.fixture
def cluster(server):
    """The body of the cluster's PUT, once it came."""
    body = {}

    def put(request: Request) -> Answer:
        body.update(request.body["properties"])
        return Answer(200, {"id": CLUSTER, "name": "c", "properties": {}})

    server.on("GET", CLUSTER, NO_CLUSTER)
    server.on("PUT", CLUSTER, put)
    return body


@pytest.fixture
def volumes(cluster):
    return lambda: cluster["nodeSetup"]["mountVolumes"]


def keys(server, item: dict, value: str = "looked-up") -> None:
    server.expect("POST", f"{item['id']}/listKeys", Answer(200, {"keys": [{"keyName": "key1", "value": value}]}))


@pytest.mark.documented
def test_walkthrough_row_4(az, server, cluster, volumes, write_json):
    file_server = f"{WORKSPACE}/fileservers/nfsmount"
    server.expect("GET", f"{WORKSPACE}/fileServers/nfsmount", Answer(200, {"id": file_server, "name": "nfsmount"}))
    server.expect("GET", ACCOUNTS, Answer(200, {"value": [account("other"), account("acct")]}))
    keys(server, account("acct"))
    done = az(
        *("batchai", "cluster", "create", "--name", "c", "--workspace", "w", "--resource-group", "g"),
        *("--vm-size", "Standard_NC6", "--image", "UbuntuDSVM"),
        *("--config-file", write_json("cluster.json", {"scaleSettings": {"manual": {"targetNodeCount": 2}}})),
        *("--setup-task", "apt install unzip -y", "--storage-account-name", "acct", "--nfs-name", "nfsmount"),
        *("--afs-name", "afsmount", "--bfs-name", "bfsmount", "--user-name", "adminuser"),
        *("--password", "secretpassword"),
    )
    assert done.code == 0, done.stderr
    assert volumes() == {
        "azureFileShares": [
            {
                "accountName": "acct",
                "azureFileUrl": "https://acct.file.core.windows.net/afsmount",
                "credentials": {"accountKey": "looked-up"},
                "relativeMountPath": "afs",
                "fileMode": "0777",
                "directoryMode": "0777",
            }
        ],
        "azureBlobFileSystems": [
            {
                "accountName": "acct",
                "containerName": "bfsmount",
                "credentials": {"accountKey": "looked-up"},
                "relativeMountPath": "bfs",
            }
        ],
        "fileServers": [{"fileServer": {"id": file_server}, "relativeMountPath": "nfs", "mountOptions": "rw"}],
    }
    assert cluster["scaleSettings"] == {"manual": {"targetNodeCount": 2}}
    assert cluster["nodeSetup"]["setupTask"] == {
        "commandLine": "apt install unzip -y",
        "stdOutErrPathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/afs",
    }


@pytest.mark.parametrize(
    ("mounts", "output"),
    [
        ((), "$AZ_BATCHAI_NODE_LOG_DIR"),
        (("--bfs-name", "b"), "$AZ_BATCHAI_MOUNT_ROOT/bfs"),
        (("--bfs-name", "b", "--afs-name", "a", "--afs-mount-path", "x/y"), "$AZ_BATCHAI_MOUNT_ROOT/x/y"),
        (("--setup-task-output", "/out", "--afs-name", "a"), "/out"),
    ],
)
def test_output_of_the_setup_task(az, cluster, mounts, output):
    storage = ("--storage-account-name", "acct", "--storage-account-key", "k")
    assert az(*CREATE, *storage, *mounts, "--setup-task", "true").code == 0
    assert cluster["nodeSetup"]["setupTask"]["stdOutErrPathPrefix"] == output


def test_key_of_the_flag_needs_no_request(az, cluster, volumes):
    az(*CREATE, "--storage-account-name", "a", "--storage-account-key", "k", "--afs-name", "s")
    assert volumes()["azureFileShares"][0]["credentials"] == {"accountKey": "k"}


def test_account_of_the_configuration(az, cluster, volumes, monkeypatch):
    monkeypatch.setenv("AZURE_BATCHAI_STORAGE_ACCOUNT", "configured")
    monkeypatch.setenv("AZURE_BATCHAI_STORAGE_KEY", "k")
    az(*CREATE, "--bfs-name", "b", "--bfs-mount-path", "data")
    assert volumes()["azureBlobFileSystems"][0] == {
        "accountName": "configured",
        "containerName": "b",
        "credentials": {"accountKey": "k"},
        "relativeMountPath": "data",
    }


def test_mount_without_an_account(az, cluster):
    done = az(*CREATE, "--afs-name", "s")
    assert done.code == 1
    assert "AZURE_BATCHAI_STORAGE_ACCOUNT" in done.stderr
    assert not cluster


def test_unknown_account(az, server, cluster):
    server.expect("GET", ACCOUNTS, Answer(200, {"value": []}))
    done = az(*CREATE, "--storage-account-name", "nowhere", "--afs-name", "s")
    assert done.code == 3
    assert "There is no storage account nowhere" in done.stderr
    assert not cluster


@pytest.mark.documented
def test_what_a_file_leaves_open_is_filled_in(az, server, cluster, volumes, write_json):
    """An account that is not the configured one is looked up; credentials that are there are kept."""
    secret = {"sourceVault": {"id": "v"}, "secretUrl": "u"}
    file = {
        "nodeSetup": {
            "mountVolumes": {
                "azureFileShares": [
                    {"azureFileUrl": "https://inurl.file.core.windows.net/s", "relativeMountPath": "a"},
                    {
                        "accountName": "vaulted",
                        "azureFileUrl": "https://vaulted.file.core.windows.net/s",
                        "relativeMountPath": "b",
                        "credentials": {"accountKeySecretReference": secret},
                    },
                ],
                "azureBlobFileSystems": [
                    {"accountName": "mine", "containerName": "c", "relativeMountPath": "c", "credentialsInfo": {}},
                    {
                        "accountName": "<AZURE_BATCHAI_STORAGE_ACCOUNT>",
                        "containerName": "d",
                        "relativeMountPath": "d",
                        "credentials": {"accountKey": "<AZURE_BATCHAI_STORAGE_KEY>"},
                    },
                ],
            }
        }
    }
    server.expect("GET", ACCOUNTS, Answer(200, {"value": [account("inurl")]}))
    keys(server, account("inurl"))
    path = write_json("cluster.json", file)
    done = az(*CREATE, "-f", path, "--storage-account-name", "mine", "--storage-account-key", "k")
    assert done.code == 0, done.stderr
    shares, blobs = volumes()["azureFileShares"], volumes()["azureBlobFileSystems"]
    assert [s["accountName"] for s in shares] == ["inurl", "vaulted"]
    assert shares[0]["credentials"] == {"accountKey": "looked-up"}
    assert shares[1]["credentials"] == {"accountKeySecretReference": secret}
    assert [b["accountName"] for b in blobs] == ["mine", "mine"]
    assert [b["credentials"] for b in blobs] == [{"accountKey": "k"}] * 2


def test_container_without_an_account(az, cluster, write_json):
    file = {"nodeSetup": {"mountVolumes": {"azureBlobFileSystems": [{"containerName": "c"}]}}}
    done = az(*CREATE, "-f", write_json("cluster.json", file))
    assert done.code == 1
    assert "has no accountName" in done.stderr
    assert not cluster


def test_file_server_of_another_workspace(az, server, cluster, volumes):
    other = f"{ROOT}/resourceGroups/h/providers/Microsoft.BatchAI/workspaces/v/fileServers/f"
    server.expect("GET", other, Answer(200, {"id": other, "name": "f", "properties": {"subnet": {"id": "/a"}}}))
    assert az(*CREATE, "--nfs", other).code == 0
    assert volumes()["fileServers"][0]["fileServer"] == {"id": other}


def test_subnet_must_be_that_of_the_file_server(az, server, cluster):
    def subnet(name: str) -> str:
        return f"{ROOT}/resourceGroups/n/providers/Microsoft.Network/virtualNetworks/v/subnets/{name}"

    found = {"id": "i", "name": "f", "properties": {"subnet": {"id": subnet("one")}}}
    server.expect("GET", f"{WORKSPACE}/fileServers/f", Answer(200, found))
    done = az(*CREATE, "--nfs", "f", "--subnet", subnet("two"))
    assert done.code == 1
    assert "in another subnet" in done.stderr
    assert not cluster


GROUP = f"{ROOT}/resourceGroups/batchaiautostorage"
AUTO_ACCOUNTS = f"{GROUP}/providers/Microsoft.Storage/storageAccounts"


@pytest.fixture
def auto_storage(server, cluster):
    """Azure without any auto storage; the accounts and the folders that are made in it."""
    accounts: dict[str, dict] = {}
    folders: list[str] = []

    def put_account(request: Request) -> Answer:
        name = request.path.rpartition("/")[2]
        accounts[name] = account(name, "batchaiautostorage", request.body["location"])
        assert request.body["sku"] == {"name": "Standard_LRS"}
        # As Azure does it: accepted, and finished later.
        operation = f"{server.url}/operation"
        return Answer(202, None, {"Location": operation, "retry-after-ms": "1"})

    def folder(request: Request) -> Answer:
        folders.append(request.path)
        return Answer(201, {"properties": {}})

    def route(request: Request) -> Answer | None:
        if request.method == "PUT" and re.fullmatch(rf"{AUTO_ACCOUNTS}/bai[a-z]{{12}}", request.path):
            return put_account(request)
        if request.method == "PUT" and request.path.startswith(AUTO_ACCOUNTS):
            return folder(request)
        if request.method == "POST" and request.path.endswith("/listKeys"):
            return Answer(200, {"keys": [{"value": "auto-key"}]})
        return None

    server.fallback = route
    server.on("GET", WORKSPACE, Answer(200, {"id": WORKSPACE, "name": "w", "location": "eastus"}))
    server.on("HEAD", GROUP, Answer(404))
    server.on("GET", AUTO_ACCOUNTS, lambda _: Answer(200, {"value": list(accounts.values())}))
    server.on("GET", "/operation", lambda _: Answer(200, next(iter(accounts.values()))))
    return accounts, folders


def test_new_auto_storage(az, server, auto_storage, volumes):
    accounts, folders = auto_storage
    server.expect("PUT", GROUP, Answer(201, {}), body={"location": "eastus"})
    done = az(*CREATE, "--use-auto-storage")
    assert done.code == 0, done.stderr
    (name,) = accounts
    assert folders == [
        f"{AUTO_ACCOUNTS}/{name}/fileServices/default/shares/batchaishare",
        f"{AUTO_ACCOUNTS}/{name}/blobServices/default/containers/batchaicontainer",
    ]
    share, blobs = volumes()["azureFileShares"][0], volumes()["azureBlobFileSystems"][0]
    assert (share["accountName"], share["relativeMountPath"]) == (name, "autoafs")
    assert (blobs["accountName"], blobs["relativeMountPath"]) == (name, "autobfs")
    assert share["credentials"] == blobs["credentials"] == {"accountKey": "auto-key"}
    assert f"Created the auto storage account {name}" in done.stderr


def test_auto_storage_of_the_same_region_is_used_again(az, server, auto_storage, volumes):
    accounts, _ = auto_storage
    accounts["baielsewhere"] = account("baielsewhere", "batchaiautostorage", "westus")
    accounts["baihere"] = account("baihere", "batchaiautostorage", "East US")
    server.on("HEAD", GROUP, Answer(204))
    assert az(*CREATE, "--use-auto-storage").code == 0
    assert volumes()["azureFileShares"][0]["accountName"] == "baihere"
    assert len(accounts) == 2
