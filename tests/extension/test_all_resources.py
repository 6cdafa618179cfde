"""What else can be said of clusters, jobs and file servers: images, subnets, disks, what a configuration sets."""

import pytest

from extension.jobs import CLUSTER, IN_EXPERIMENT, JOB, WORKSPACE
from extension.scripted import SUBSCRIPTION, Answer, Request

pytestmark = pytest.mark.documented

IN_WORKSPACE = ("-g", "g", "-w", "w")
CREATE = ("batchai", "cluster", "create", *IN_WORKSPACE, "-n", "c", "-s", "s", "-t", "0", "-u", "me", "-p", "pw")
CREATE_FILE_SERVER = ("batchai", "file-server", "create", *IN_WORKSPACE, "-n", "f", "-u", "me", "-p", "pw")
FILE_SERVER = f"{WORKSPACE}/fileServers/f"
OTHER = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/H/providers/Microsoft.BatchAI/workspaces/V"
NETWORK = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/n/providers/Microsoft.Network/virtualNetworks/v/subnets"
IMAGE = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/i/providers/Microsoft.Compute/images/mine"
DISKS = ("-s", "Standard_D1", "--disk-count", "2", "--disk-size", "10", "--storage-sku", "Premium_LRS")


@pytest.fixture
def put(server):
    """`put(path, name)`: the properties in the PUT of what is not there yet, once it came."""

    def expect(path: str, code: str) -> dict:
        body: dict = {}

        def answer(request: Request) -> Answer:
            body.update(request.body["properties"])
            return Answer(200, {"id": path, "name": path.rpartition("/")[2], "properties": {}})

        server.on("GET", path, Answer(404, {"error": {"code": code, "message": "m"}}))
        server.on("PUT", path, answer)
        return body

    return expect


@pytest.fixture
def cluster(put) -> dict:
    return put(CLUSTER, "ClusterNotFound")


@pytest.fixture
def file_server(put) -> dict:
    return put(FILE_SERVER, "FileServerNotFound")


@pytest.mark.parametrize(
    ("options", "reference"),
    [
        (("-i", "ubuntults"), {"publisher": "Canonical", "offer": "UbuntuServer", "sku": "16.04-LTS"}),
        (("-i", "p:o:s:1.2"), {"publisher": "p", "offer": "o", "sku": "s", "version": "1.2"}),
        (
            ("-i", "p:o:s:", "--custom-image", IMAGE),
            {"publisher": "p", "offer": "o", "sku": "s", "virtualMachineImageId": IMAGE},
        ),
    ],
)
def test_image(az, cluster, options, reference):
    assert az(*CREATE, *options).code == 0
    assert cluster["virtualMachineConfiguration"] == {"imageReference": reference}


def test_image_comes_before_that_of_the_file(az, cluster, write_json):
    image = {"imageReference": {"publisher": "a", "offer": "b", "sku": "c"}}
    path = write_json("cluster.json", {"virtualMachineConfiguration": image, "vmPriority": "lowpriority"})
    assert az(*CREATE, "-f", path).code == 0
    assert cluster["virtualMachineConfiguration"] == image
    assert cluster["vmPriority"] == "lowpriority"
    assert az(*CREATE, "-f", path, "-i", "p:o:s:1", "--vm-priority", "dedicated").code == 0
    assert cluster["virtualMachineConfiguration"]["imageReference"]["publisher"] == "p"
    assert cluster["vmPriority"] == "dedicated"


def test_subnet(az, cluster):
    assert az(*CREATE, "--subnet", f"{NETWORK}/a").code == 0
    assert cluster["subnet"] == {"id": f"{NETWORK}/a"}


def test_subnet_of_the_file_server(az, server, cluster):
    found = {"id": FILE_SERVER, "name": "f", "properties": {"subnet": {"id": f"{NETWORK}/A"}}}
    server.on("GET", FILE_SERVER, Answer(200, found))
    assert az(*CREATE, "--nfs", "f", "--subnet", f"{NETWORK}/a").code == 0
    assert cluster["subnet"] == {"id": f"{NETWORK}/a"}


@pytest.mark.parametrize("nfs", ["f", f"{OTHER}/fileservers/f"])
def test_file_server_that_is_not_there(az, server, cluster, nfs):
    path = FILE_SERVER if nfs == "f" else f"{OTHER}/fileServers/f"
    server.on("GET", path, Answer(404, {"error": {"code": "FileServerNotFound", "message": "No file server f."}}))
    done = az(*CREATE, "--nfs", nfs)
    assert done.code == 3
    assert "No file server f." in done.stderr
    assert not cluster


class TestFileServer:
    def test_disks_caching_and_subnet(self, az, file_server):
        options = ("--caching-type", "readwrite", "--subnet", f"{NETWORK}/a")
        assert az(*CREATE_FILE_SERVER, *DISKS, *options).code == 0
        assert file_server == {
            "vmSize": "Standard_D1",
            "sshConfiguration": {"userAccountSettings": {"adminUserName": "me", "adminUserPassword": "pw"}},
            "dataDisks": {
                "diskSizeInGB": 10,
                "diskCount": 2,
                "cachingType": "readwrite",
                "storageAccountType": "Premium_LRS",
            },
            "subnet": {"id": f"{NETWORK}/a"},
        }

    def test_ssh_settings_of_the_file(self, az, file_server, write_json):
        """Who may log in from where is said in a file only."""
        account = {"adminUserName": "them", "adminUserPassword": "theirs"}
        ssh = {"publicIPsToAllow": ["1.2.3.4", "5.6.7.8"], "userAccountSettings": account}
        done = az(*CREATE_FILE_SERVER[:-4], *DISKS, "-f", write_json("f.json", {"sshConfiguration": ssh}))
        assert done.code == 0, done.stderr
        assert file_server["sshConfiguration"] == ssh

    def test_options_come_before_the_file(self, az, file_server, write_json):
        disks = {"diskSizeInGB": 1, "diskCount": 1, "cachingType": "none", "storageAccountType": "Standard_LRS"}
        path = write_json("f.json", {"vmSize": "other", "dataDisks": disks})
        assert az(*CREATE_FILE_SERVER, "-f", path, "--disk-size", "20", "--storage-sku", "premium_lrs").code == 0
        assert file_server["vmSize"] == "other"
        assert file_server["dataDisks"] == {**disks, "diskSizeInGB": 20, "storageAccountType": "Premium_LRS"}


class TestJob:
    @pytest.fixture(autouse=True)
    def job(self, put):
        return put(JOB, "JobNotFound")

    CREATE = ("batchai", "job", "create", *IN_EXPERIMENT, "-n", "j")

    def test_cluster_and_file_server_of_other_workspaces(self, az, server, job, write_json):
        cluster, file_server = f"{OTHER}/clusters/c", f"{OTHER}/fileServers/f"
        server.on("GET", cluster, Answer(200, {"id": cluster, "name": "c"}))
        server.on("GET", file_server, Answer(200, {"id": file_server, "name": "f"}))
        path = write_json("job.json", {"nodeCount": 1})
        done = az(*self.CREATE, "-c", cluster, "--nfs", file_server, "--nfs-mount-path", "data", "-f", path)
        assert done.code == 0, done.stderr
        assert job["cluster"] == {"id": cluster}
        mount = {"fileServer": {"id": file_server}, "relativeMountPath": "data", "mountOptions": "rw"}
        assert job["mountVolumes"] == {"fileServers": [mount]}

    def test_placeholders(self, az, server, job, write_json, monkeypatch):
        monkeypatch.setenv("AZURE_BATCHAI_STORAGE_ACCOUNT", "acct")
        monkeypatch.setenv("AZURE_BATCHAI_STORAGE_KEY", "k")
        server.on("GET", CLUSTER, Answer(200, {"id": CLUSTER, "name": "c"}))
        share = {
            "accountName": "<AZURE_BATCHAI_STORAGE_ACCOUNT>",
            "azureFileUrl": "https://<AZURE_BATCHAI_STORAGE_ACCOUNT>.file.core.windows.net/s",
            "credentials": {"accountKey": "<AZURE_BATCHAI_STORAGE_KEY>"},
            "relativeMountPath": "a",
        }
        path = write_json("job.json", {"nodeCount": 1, "mountVolumes": {"azureFileShares": [share]}})
        assert az(*self.CREATE, "-c", "c", "-f", path).code == 0
        assert job["mountVolumes"]["azureFileShares"] == [
            {
                "accountName": "acct",
                "azureFileUrl": "https://acct.file.core.windows.net/s",
                "credentials": {"accountKey": "k"},
                "relativeMountPath": "a",
            }
        ]

    def test_placeholder_without_an_account(self, az, server, job, write_json):
        server.on("GET", CLUSTER, Answer(200, {"id": CLUSTER, "name": "c"}))
        share = {"azureFileUrl": "https://<AZURE_BATCHAI_STORAGE_ACCOUNT>.file.core.windows.net/s"}
        path = write_json("job.json", {"nodeCount": 1, "mountVolumes": {"azureFileShares": [share]}})
        done = az(*self.CREATE, "-c", "c", "-f", path)
        assert done.code == 1
        assert "AZURE_BATCHAI_STORAGE_ACCOUNT" in done.stderr
        assert not job


@pytest.mark.parametrize("from_environment", [False, True])
def test_account_of_the_configuration_file(az_process, cluster, tmp_path, from_environment):
    """`[batchai]` of the az configuration; the environment comes first, the command line before both."""
    (tmp_path / "config").write_text("[batchai]\nstorage_account = configured\nstorage_key = k1\n", encoding="utf-8")
    env = {"AZURE_CONFIG_DIR": str(tmp_path)}
    if from_environment:
        env |= {"AZURE_BATCHAI_STORAGE_ACCOUNT": "environment", "AZURE_BATCHAI_STORAGE_KEY": "k2"}
    done = az_process(*CREATE, "--bfs-name", "b", env=env)
    assert done.code == 0, done.stderr
    (mount,) = cluster["nodeSetup"]["mountVolumes"]["azureBlobFileSystems"]
    expected = ("environment", "k2") if from_environment else ("configured", "k1")
    assert (mount["accountName"], mount["credentials"]["accountKey"]) == expected


def test_workspaces_of_all_groups(az, server):
    path = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.BatchAI/workspaces"
    found = [{"id": WORKSPACE, "name": "w", "location": "l"}, {"id": OTHER, "name": "V", "location": "l"}]
    server.expect("GET", path, Answer(200, {"value": found}))
    rows = az("batchai", "workspace", "list", "-o", "table").output.splitlines()[2:]
    assert [row.split()[:2] for row in rows] == [["w", "g"], ["V", "H"]]
