"""Configuration files, passwords: what the module of azure-cli does wrong, proved on it, beside what it does here."""

import io
import json
import sys

import pytest
from azure.cli.core.azclierror import InvalidArgumentValueError

from azext_batchai.command_line import config_file
from extension.builtin import OF_CLUSTER, OF_JOB
from extension.jobs import CLUSTER, IN_EXPERIMENT, JOB, JOB_NOT_FOUND
from extension.scripted import Answer
from facts import recipes

CREATE = ("batchai", "job", "create", *IN_EXPERIMENT, "-n", "j")
CREATE_CLUSTER = ("batchai", "cluster", "create", "-g", "g", "-w", "w", "-n", "c", "-s", "s", "-t", "0", "-u", "me")
NO_CLUSTER = Answer(404, {"error": {"code": "ClusterNotFound", "message": "m"}})
MISSPELT = {
    "nodecount": 2,
    "nodeCount": 1,
    "mountVolumes": {
        "azureBlobFileSystems": [
            {"accountName": "a", "containerName": "b", "relativeMountPath": "c", "credentialsInfo": {"accountKey": "k"}}
        ]
    },
    "customToolkitSetings": {"commandLine": "true"},
    "zzz": 1,
}


@pytest.fixture
def put(server) -> dict:
    """The body of the job's PUT, once it came."""
    body: dict = {}
    server.on("GET", JOB, JOB_NOT_FOUND)
    server.on("GET", CLUSTER, Answer(200, {"id": CLUSTER, "name": "c"}))
    server.on("PUT", JOB, lambda request: body.update(request.body) or Answer(200, {"id": JOB, "name": "j"}))
    return body


class TestUnknownKeys:
    def test_old(self, builtin):
        """Dropped without a word: the credentials are gone."""
        job = builtin.code._get_deserializer()("JobCreateParameters", {"properties": MISSPELT})
        assert job.mount_volumes.azure_blob_file_systems[0].credentials is None
        assert not builtin.log

    @pytest.mark.parametrize("content", [MISSPELT, {"properties": MISSPELT}, {"$schema": "s", "properties": MISSPELT}])
    def test_now(self, az, put, write_json, content):
        path = write_json("job.json", content)
        done = az(*CREATE, "-c", "c", "-f", path, "--storage-account-name", "a", "--storage-account-key", "k")
        assert done.code == 0, done.stderr
        where = "mountVolumes.azureBlobFileSystems[0]"
        *told, last = done.stderr.splitlines()
        assert last.startswith(f"WARNING: {path}: 'zzz' is unknown and has no effect. There are: caffe2Settings, ")
        assert told == [
            f"WARNING: {path}: 'nodecount' is unknown and has no effect. Did you mean 'nodeCount'?",
            f"WARNING: {path}: '{where}.credentialsInfo' is unknown and has no effect. "
            f"Did you mean '{where}.credentials'?",
            f"WARNING: {path}: 'customToolkitSetings' is unknown and has no effect. "
            "Did you mean 'customToolkitSettings'?",
        ]

    def test_beside_the_properties(self, az, put, write_json):
        path = write_json("job.json", {"location": "eastus", "nodeCount": 2, "properties": {"nodeCount": 1}})
        done = az(*CREATE, "-c", "c", "-f", path)
        assert done.stderr.splitlines() == [
            f"WARNING: {path}: 'location' is unknown and has no effect.",
            f"WARNING: {path}: 'nodeCount' is unknown and has no effect. Did you mean 'properties.nodeCount'?",
        ]
        assert put["properties"]["nodeCount"] == 1

    @pytest.mark.documented
    def test_recipes_have_none(self):
        for recipe, content in recipes.load().items():
            properties = content.get("properties", content)
            from azure.mgmt.batchai import models

            classes = {name: item for name, item in vars(models).items() if isinstance(item, type)}
            unknown = config_file._check(properties, models.JobCreateParameters, classes, "", prefix="properties.")
            assert list(unknown) == [], recipe


class TestBrokenJson:
    TEXT = '{\n  "nodeCount": 1,\n  oops\n}'

    def test_old(self, builtin, put, tmp_path):
        path = tmp_path / "job.json"
        path.write_text(self.TEXT, encoding="utf-8")
        with pytest.raises(json.JSONDecodeError):
            builtin.code.create_job(builtin.cmd, builtin.client, *OF_JOB, str(path), "c")

    def test_now(self, az, server, tmp_path):
        path = tmp_path / "job.json"
        path.write_text(self.TEXT, encoding="utf-8")
        done = az(*CREATE, "-c", "c", "-f", str(path))
        assert done.code == 1
        assert done.stderr.startswith(f"ERROR: {path}, line 3, column 3: this is not JSON")


class TestByteOrderMark:
    def test_old(self, builtin, put, tmp_path):
        path = tmp_path / "job.json"
        path.write_text('{"properties": {"nodeCount": 3}}', encoding="utf-8-sig")
        with pytest.raises(json.JSONDecodeError):
            builtin.code.create_job(builtin.cmd, builtin.client, *OF_JOB, str(path), "c")

    @pytest.mark.parametrize("prefix", ["", "@"])
    def test_now(self, az, put, tmp_path, prefix):
        path = tmp_path / "job.json"
        path.write_text('{"properties": {"nodeCount": 3}}', encoding="utf-8-sig")
        assert az(*CREATE, "-c", "c", "-f", f"{prefix}{path}").code == 0
        assert put["properties"]["nodeCount"] == 3


class TestOtherPlaces:
    """Standard input, and az's own @FILE, which puts the contents in place of the name."""

    CONTENT = '{"nodeCount": 3}'

    def test_old(self, builtin, put):
        for path in ("-", self.CONTENT):
            with pytest.raises(FileNotFoundError):
                builtin.code.create_job(builtin.cmd, builtin.client, *OF_JOB, path, "c")

    @pytest.fixture
    def stdin(self, monkeypatch):
        def set_to(content: bytes) -> None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))

        return set_to

    def test_standard_input(self, az, put, stdin):
        stdin(self.CONTENT.encode("utf-8-sig"))
        assert az(*CREATE, "-c", "c", "-f", "-").code == 0
        assert put["properties"]["nodeCount"] == 3

    def test_at_file(self, az, put, tmp_path):
        path = tmp_path / "job.json"
        path.write_text(self.CONTENT, encoding="utf-8")
        assert az(*CREATE, "-c", "c", "-f", f"@{path}").code == 0
        assert put["properties"]["nodeCount"] == 3

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("{\n1}", "The configuration file, line 2, column 1: this is not JSON"),
            ("oops\noops", "The configuration file, line 1, column 1: this is not JSON"),
            (" ", "The configuration file, line 1, column 2: this is not JSON"),
        ],
    )
    def test_faults_in_it(self, text, message):
        with pytest.raises(InvalidArgumentValueError, match=message):
            config_file.load(text, "JobCreateParameters")

    def test_fault_on_standard_input(self, az, server, stdin):
        stdin(b"{")
        done = az(*CREATE, "-c", "c", "-f", "-")
        assert done.stderr.startswith("ERROR: The configuration on standard input, line 1, column 2: this is not JSON")


class TestClusterOfAJob:
    def test_old(self, builtin, put, write_json):
        path = write_json("job.json", {"properties": {"nodeCount": 1}})
        with pytest.raises(AttributeError):
            builtin.code.create_job(builtin.cmd, builtin.client, *OF_JOB, path, "")

    @pytest.mark.parametrize("options", [(), ("-c", "")])
    def test_neither_file_nor_option(self, az, server, write_json, options):
        done = az(*CREATE, *options, "-f", write_json("job.json", {"nodeCount": 1}))
        assert done.code == 1
        assert done.stderr.startswith("ERROR: It is not said on which cluster the job is to run.")
        assert "--cluster" in done.stderr.splitlines()[1]
        assert not server.requests

    @pytest.mark.parametrize("cluster", [CLUSTER, "c"])
    def test_of_the_file(self, az, put, write_json, cluster):
        path = write_json("job.json", {"nodeCount": 1, "cluster": {"id": cluster}})
        assert az(*CREATE, "-f", path).code == 0
        assert put["properties"]["cluster"] == {"id": CLUSTER}

    def test_option_comes_first(self, az, put, write_json):
        path = write_json("job.json", {"nodeCount": 1, "cluster": {"id": CLUSTER.replace("/w/", "/x/")}})
        assert az(*CREATE, "-f", path, "--clus", "c").code == 0
        assert put["properties"]["cluster"] == {"id": CLUSTER}


class TestPassword:
    """--password and the configuration file were the only ways, and both are seen by others."""

    @pytest.fixture
    def account(self, server) -> dict:
        """The administrator's account in the PUT of the cluster or file server."""
        found: dict = {}

        def put(request) -> Answer:
            properties = request.body["properties"]
            found.update(properties.get("sshConfiguration", properties)["userAccountSettings"])
            return Answer(200, {"id": request.path, "name": "c", "properties": {}})

        for path in (CLUSTER, CLUSTER.replace("clusters/", "fileServers/")):
            server.on("GET", path, NO_CLUSTER)
            server.on("PUT", path, put)
        return found

    FILE_SERVER = (
        *("batchai", "file-server", "create", "-g", "g", "-w", "w", "-n", "c", "-s", "s", "-u", "me"),
        *("--disk-count", "1", "--disk-size", "1", "--storage-sku", "Standard_LRS"),
    )

    def test_old(self, builtin, server, monkeypatch, tmp_path):
        monkeypatch.setenv("HOME", str(tmp_path))  # where no SSH key is
        monkeypatch.setenv("AZURE_BATCHAI_PASSWORD", "secret")
        server.on("GET", CLUSTER, NO_CLUSTER)
        options = {"vm_size": "s", "target": 1, "user_name": "me"}
        with pytest.raises(builtin.code.CLIError, match="password or ssh key"):
            builtin.code.create_cluster(builtin.cmd, builtin.client, *OF_CLUSTER, **options)

    @pytest.mark.parametrize("command", [CREATE_CLUSTER, FILE_SERVER])
    def test_environment(self, az, account, monkeypatch, command):
        monkeypatch.setenv("AZURE_BATCHAI_PASSWORD", "secret")
        assert az(*command).code == 0
        assert account == {"adminUserName": "me", "adminUserPassword": "secret"}

    def test_option_comes_first(self, az, account, monkeypatch):
        monkeypatch.setenv("AZURE_BATCHAI_PASSWORD", "secret")
        assert az(*CREATE_CLUSTER, "-p", "given").code == 0
        assert account["adminUserPassword"] == "given"

    @pytest.mark.parametrize("command", [CREATE_CLUSTER, FILE_SERVER])
    def test_asked_for(self, az, account, monkeypatch, command):
        asked = []
        monkeypatch.setattr("knack.prompting.verify_is_a_tty", lambda: None)
        monkeypatch.setattr("getpass.getpass", lambda question, *_: asked.append(question) or "typed")
        done = az(*command, "--password", "-")
        assert done.code == 0, done.stderr
        assert account["adminUserPassword"] == "typed"
        assert len(asked) == 2, "once more, since nobody sees it"
        assert "typed" not in done.stderr + done.output

    def test_nobody_to_ask(self, az, server, monkeypatch):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"x"), encoding="utf-8"))
        done = az(*CREATE_CLUSTER, "--password", "-")
        assert done.code == 1
        assert "there is no terminal" in done.stderr
        assert "AZURE_BATCHAI_PASSWORD" in done.stderr
        assert not server.requests
