"""Knowing job.json: schemas and pages held against the OpenAPI file, init, validate, --dry-run, --strict."""

import json
import subprocess
import sys

import jsonschema
import pytest

from extension.jobs import CLUSTER, IN_EXPERIMENT, JOB, JOB_NOT_FOUND
from extension.scripted import Answer
from facts import recipes
from harness.sandbox import CHECKOUT

JOB_FILE = {"nodeCount": 1, "customToolkitSettings": {"commandLine": "true"}, "stdOutErrPathPrefix": "/tmp"}
TOOLKITS = ("custom", "custommpi", "pytorch", "tensorflow", "horovod", "chainer", "cntk", "caffe", "caffe2")
AUTO_AFS = [{"relativeMountPath": "autoafs", "accountName": "a", "azureFileUrl": "u", "credentials": {}}]


@pytest.mark.swagger
def test_schemas_and_pages_are_what_the_openapi_file_says():
    command = [sys.executable, str(CHECKOUT / "docs" / "keys.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.swagger
@pytest.mark.parametrize(("noun", "model"), [("job", "Job"), ("cluster", "Cluster"), ("file-server", "FileServer")])
def test_schemas_have_the_keys_that_the_sdk_sends(az, noun, model):
    from azure.mgmt.batchai import models

    schema = az("batchai", "job", "schema", "--file-of", noun).json()
    jsonschema.Draft202012Validator.check_schema(schema)
    of_file = schema["$defs"][f"{model}BaseProperties"]["properties"]
    sent = getattr(models, f"{model}CreateParameters")._attribute_map.values()
    assert {f"properties.{key}" for key in of_file if key != "$schema"} == {item["key"] for item in sent}


@pytest.mark.documented
@pytest.mark.parametrize("recipe", recipes.load())
def test_recipes_fit_the_schema(az, recipe):
    schema = json.loads((CHECKOUT / "docs" / "schemas" / "job.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(recipes.load()[recipe])


@pytest.mark.parametrize("toolkit", TOOLKITS)
def test_init_writes_what_validate_accepts(az, tmp_path, toolkit):
    path = tmp_path / "job.json"
    made = az("batchai", "job", "init", "--toolkit", toolkit, "--nodes", "2", "--processes", "4", "-f", str(path))
    assert made.code == 0, made.stderr
    assert json.loads(path.read_text()) == made.json()
    jsonschema.Draft202012Validator(az("batchai", "job", "schema").json()).validate(made.json())
    how = az("batchai", "job", "validate", "-f", str(path)).json()
    assert (how["toolkit"], how["nodeCount"]) == (toolkit, 2)
    files = {"pytorch": 8, "tensorflow": 10, "caffe2": 4}
    assert len(how["files"]) == files.get(toolkit, 2)


def test_init_never_writes_over_a_file(az, tmp_path):
    path = tmp_path / "job.json"
    path.write_text("mine")
    done = az("batchai", "job", "init", "-f", str(path))
    assert (done.code, done.output) == (1, "")
    assert "is there already" in done.stderr
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"nodeCount": 1}, ["'stdOutErrPathPrefix' is required.", "there is none of customToolkitSettings, "]),
        ({**JOB_FILE, "horovodSettings": {}}, ["'horovodSettings.pythonScriptFilePath' is required.", "exactly one"]),
        ({**JOB_FILE, "outputDirectories": [{"id": "A"}]}, ["'outputDirectories[0].pathPrefix' is required."]),
        ({**JOB_FILE, "nodecount": 2}, ["'nodecount' is unknown and has no effect. Did you mean 'nodeCount'?"]),
        ({**JOB_FILE, "constraints": {"maxWallClockTime": "1h"}}, ["write PT1H."]),
        ({**JOB_FILE, "nodeCount": 0}, ["'nodeCount' is less than 1."]),
    ],
)
def test_validate_says_all_that_is_wrong(az, write_json, content, said):
    done = az("batchai", "job", "validate", "-f", write_json("job.json", content))
    assert (done.code, done.output) == (1, "")
    for words in said:
        assert words in done.stderr


def test_validate_without_a_file_is_a_wrong_command_line(az):
    assert az("batchai", "job", "validate").code == 2


def a_cluster(most: int) -> Answer:
    scale = {"autoScale": {"minimumNodeCount": 0, "maximumNodeCount": most}}
    properties = {"scaleSettings": scale, "nodeSetup": {"mountVolumes": {"azureFileShares": AUTO_AFS}}}
    return Answer(200, {"id": CLUSTER, "name": "c", "properties": properties})


def test_validate_against_a_cluster(az, server, write_json):
    server.on("GET", CLUSTER, a_cluster(2))
    content = {**JOB_FILE, "nodeCount": 3, "stdOutErrPathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/autofs/x"}
    done = az("batchai", "job", "validate", "-f", write_json("job.json", content), "-c", CLUSTER)
    assert done.code == 1
    assert "'nodeCount' is 3, and cluster c is set to 2 at most." in done.stderr
    assert "cluster c mounts $AZ_BATCHAI_MOUNT_ROOT/autoafs." in done.stderr
    content = {**JOB_FILE, "stdOutErrPathPrefix": "${AZ_BATCHAI_MOUNT_ROOT}/autoafs/x"}
    path = write_json("job.json", content)
    assert az("batchai", "job", "validate", "-f", path, "-g", "g", "-w", "w", "-c", "c").code == 0


def test_dry_run_sends_nothing_and_shows_no_secret(az, server, write_json):
    server.on("GET", JOB, JOB_NOT_FOUND)
    server.on("GET", CLUSTER, a_cluster(0))
    secret = {"secrets": [{"name": "TOKEN", "value": "SESAME"}]}
    share = {"azureFileShares": [{**AUTO_AFS[0], "credentials": {"accountKey": "SESAME"}}]}
    path = write_json("job.json", {**JOB_FILE, **secret, "mountVolumes": share})
    create = ("batchai", "job", "create", *IN_EXPERIMENT, "-n", "j", "-c", "c", "-f", path)
    done = az(*create, "--dry-run")
    assert done.code == 0, done.stderr
    assert "is set to 0 at most" in done.stderr
    sent = done.json()["properties"]
    assert sent["cluster"]["id"] == CLUSTER
    assert sent["secrets"] == [{"name": "TOKEN"}]
    assert "SESAME" not in done.output + done.stderr
    assert {request.method for request in server.requests} == {"GET"}
    assert az(*create, "--strict").code == 1
    assert {request.method for request in server.requests} == {"GET"}


def test_strict_refuses_unknown_keys(az, server, write_json):
    path = write_json("job.json", {**JOB_FILE, "nodecount": 2})
    done = az("batchai", "job", "create", *IN_EXPERIMENT, "-n", "j", "-c", "c", "-f", path, "--strict")
    assert done.code == 1
    assert "Did you mean 'nodeCount'?" in done.stderr
    assert not server.requests
