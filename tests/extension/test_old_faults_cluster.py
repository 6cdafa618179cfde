"""Clusters and file servers: what the module of azure-cli does wrong, proved on it, beside what happens here."""

from types import SimpleNamespace

import pytest

from extension.builtin import GROUP, OF_CLUSTER, WORKSPACE, load
from extension.jobs import CLUSTER
from extension.scripted import SUBSCRIPTION, Answer

IN_WORKSPACE = ("-g", "g", "-w", "w")
PUBLIC = "A cluster named c exists already in workspace w (resource group g)."
FILE_SERVER = CLUSTER.replace("clusters/c", "fileServers/f")
NO_CLUSTER = Answer(404, {"error": {"code": "ClusterNotFound", "message": "m"}})
CREATE = ("batchai", "cluster", "create", *IN_WORKSPACE, "-n", "c", "-s", "s", "-u", "me", "-p", "pw")
NEW = {"vm_size": "s", "user_name": "me", "password": "pw"}


@pytest.fixture
def put(server) -> dict:
    """The properties in the cluster's PUT, once it came."""
    body: dict = {}

    def answer(request) -> Answer:
        body.update(request.body["properties"])
        return Answer(200, {"id": CLUSTER, "name": "c", "properties": {}})

    server.on("GET", CLUSTER, NO_CLUSTER)
    server.on("PUT", CLUSTER, answer)
    return body


@pytest.fixture
def builtin_loader():
    """What gives azure-cli the commands of its own module."""
    from azure.cli.core.mock import DummyCli

    load("commands")
    from azure.cli.command_modules.batchai import BatchAiCommandsLoader

    return BatchAiCommandsLoader(DummyCli())


class TestNoNodesAtFirst:
    @pytest.mark.parametrize("scale", [{"target": 0}, {"min_nodes": 0, "max_nodes": 0}])
    def test_old(self, builtin, put, scale):
        with pytest.raises(builtin.code.CLIError, match="Please provide scale setting"):
            builtin.code.create_cluster(builtin.cmd, builtin.client, *OF_CLUSTER, **NEW, **scale)

    @pytest.mark.parametrize("scale", [("-t", "0"), ("--min", "0", "--max", "0")])
    def test_now(self, az, put, scale):
        assert az(*CREATE, *scale).code == 0
        assert put["scaleSettings"]["manual"]["targetNodeCount"] == 0


class TestCountsAreNumbers:
    def test_old(self, builtin_loader):
        builtin_loader.load_command_table([])
        builtin_loader.cli_ctx.invocation = type(
            "Invocation", (), {"data": {"command_string": "batchai cluster resize"}}
        )()
        builtin_loader.load_arguments("batchai cluster resize")
        settings = builtin_loader.argument_registry.get_cli_argument("batchai cluster resize", "target").settings
        assert "type" not in settings, "2 is less than 10, and '2' is not"

    @pytest.mark.parametrize("scale", [("--min", "2", "--max", "10"), ("--min", "9", "--max", "10", "-t", "10")])
    def test_now(self, az, put, scale):
        assert az(*CREATE, *scale).code == 0
        assert put["scaleSettings"]["autoScale"]["maximumNodeCount"] == 10

    @pytest.mark.parametrize("value", ["two", "1.5", "-1", ""])
    def test_no_number(self, az, server, value):
        assert az("batchai", "cluster", "resize", *IN_WORKSPACE, "-n", "c", f"--target={value}").code == 2
        assert not server.requests


class TestAlreadyExists:
    def test_old(self, builtin, server):
        server.on("GET", CLUSTER, Answer(200, {"id": CLUSTER, "name": "c", "properties": {}}))
        with pytest.raises(builtin.code.CLIError) as error:
            builtin.code.create_cluster(builtin.cmd, builtin.client, *OF_CLUSTER, **NEW, target=1)
        assert f'"{GROUP}" resource group under {WORKSPACE} resource group' in str(error.value)

    def test_now(self, az, server):
        server.on("GET", CLUSTER, Answer(200, {"id": CLUSTER, "name": "c", "properties": {}}))
        done = az(*CREATE, "-t", "1")
        assert done.code == 1
        assert done.stderr.startswith(f"ERROR: {PUBLIC}")


class TestAutoScale:
    def test_old(self, builtin):
        with pytest.raises(TypeError):
            builtin.code.set_cluster_auto_scale_parameters(builtin.client.clusters, *OF_CLUSTER, 0, 4)

    def test_now(self, az, server):
        server.expect("PATCH", CLUSTER, Answer(200, {"id": CLUSTER, "name": "c"}))
        assert az("batchai", "cluster", "auto-scale", *IN_WORKSPACE, "-n", "c", "--min", "0", "--max", "4").code == 0


class TestFileServerMount:
    def test_old(self, builtin, put):
        with pytest.raises(AttributeError):
            builtin.code.create_cluster(builtin.cmd, builtin.client, *OF_CLUSTER, **NEW, target=1, nfs="f")

    @pytest.mark.parametrize("nfs", ["f", FILE_SERVER])
    def test_now(self, az, server, put, nfs):
        server.expect("GET", FILE_SERVER, Answer(200, {"id": FILE_SERVER, "name": "f"}))
        assert az(*CREATE, "-t", "1", "--nfs", nfs).code == 0
        assert put["nodeSetup"]["mountVolumes"]["fileServers"][0]["fileServer"] == {"id": FILE_SERVER}


class TestFileServerCommands:
    def test_old(self, builtin_loader):
        commands = builtin_loader.load_command_table([])
        assert "batchai file-server create" in commands
        assert not {"batchai file-server show", "batchai file-server delete"}.intersection(commands)

    def test_now(self, az, server):
        server.expect("GET", FILE_SERVER, Answer(200, {"id": FILE_SERVER, "name": "f"}))
        server.expect("DELETE", FILE_SERVER, Answer(204))
        assert az("batchai", "file-server", "show", *IN_WORKSPACE, "-n", "f").result["name"] == "f"
        assert az("batchai", "file-server", "delete", *IN_WORKSPACE, "-n", "f", "-y").code == 0


class TestAutoStorage:
    """What happens here on a fresh and on a used subscription is in test_mounts.py."""

    def test_old(self, builtin):
        """It calls an operation that its storage SDK has no more."""
        from azure.mgmt.storage import StorageManagementClient

        accounts = StorageManagementClient(SimpleNamespace(get_token=None), SUBSCRIPTION).storage_accounts

        class Accounts:
            def check_name_availability(self, _: str) -> object:
                return SimpleNamespace(name_available=True)

            def __getattr__(self, name: str) -> object:
                return getattr(accounts, name)

        with pytest.raises(AttributeError):
            builtin.code._create_auto_storage_account(SimpleNamespace(storage_accounts=Accounts()), "g", "eastus")

    def test_now(self, az, server, put):
        group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/batchaiautostorage"
        made = []

        def account(request) -> Answer | None:
            if request.method == "PUT":
                made.append(request.path)
                return Answer(200, {"location": "eastus"})
            return Answer(200, {"keys": [{"value": "k"}]}) if request.path.endswith("/listKeys") else None

        server.on(
            "GET", CLUSTER.rpartition("/clusters")[0], Answer(200, {"id": "i", "name": "w", "location": "eastus"})
        )
        server.on("HEAD", group, Answer(404))
        server.on("GET", f"{group}/providers/Microsoft.Storage/storageAccounts", Answer(200, {"value": []}))
        server.fallback = account
        assert az(*CREATE, "-t", "0", "--use-auto-storage").code == 0
        assert [path.split("/")[-2] for path in made] == ["resourceGroups", "storageAccounts", "shares", "containers"]
