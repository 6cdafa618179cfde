"""Configuration files: read, refused with the place of the fault, passed on as they stand."""

import json

import pytest
from azure.cli.core.azclierror import FileOperationError, InvalidArgumentValueError
from azure.mgmt.batchai.models import ClusterCreateParameters, JobCreateParameters

from azext_batchai.command_line import config_file
from extension.jobs import IN_EXPERIMENT

JOB = {"nodeCount": 1, "customToolkitSettings": {"commandLine": "true"}, "stdOutErrPathPrefix": "/tmp"}


def body(model) -> dict:
    return model.serialize()["properties"]


@pytest.mark.parametrize(
    "content", [JOB, {"properties": JOB}, {"$schema": "x", **JOB}, {"$schema": "x", "properties": JOB}]
)
def test_with_and_without_properties(write_json, content):
    model = config_file.load(write_json("job.json", content), "JobCreateParameters")
    assert isinstance(model, JobCreateParameters)
    assert {**model.serialize()["properties"]} == JOB


@pytest.mark.recorded
def test_defaults_are_left_to_the_service(write_json):
    content = {
        "vmSize": "s",
        "scaleSettings": {"manual": {"targetNodeCount": 1}},
        "nodeSetup": {"mountVolumes": {"azureFileShares": [{"accountName": "a", "relativeMountPath": "p"}]}},
    }
    model = config_file.load(write_json("cluster.json", content), "ClusterCreateParameters")
    assert isinstance(model, ClusterCreateParameters)
    assert model.vm_priority is None
    assert model.scale_settings.manual.node_deallocation_option is None
    assert model.node_setup.mount_volumes.azure_file_shares[0].file_mode is None


def test_byte_order_mark(tmp_path):
    path = tmp_path / "job.json"
    path.write_text(json.dumps(JOB), encoding="utf-8-sig")
    assert config_file.load(str(path), "JobCreateParameters").node_count == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{\n  "a": 1,\n  x\n}', "job.json, line 3, column 3: this is not JSON"),
        ("", "job.json, line 1, column 1: this is not JSON"),
        ("[]", "job.json holds a list where an object ({...}) is expected."),
        ('{"properties": "x"}', "'properties' is \"x\" where an object ({...}) is expected."),
        ('{"nodeCount": "two"}', "'nodeCount' is \"two\" where a whole number is expected."),
        ('{"nodeCount": true}', "'nodeCount' is true where a whole number is expected."),
        ('{"outputDirectories": {}}', "'outputDirectories' is an object where a list ([...]) is expected."),
        ('{"outputDirectories": [{"id": 7}]}', "'outputDirectories[0].id' is 7 where a text is expected."),
        ('{"cluster": "c"}', "'cluster' is \"c\" where an object ({...}) is expected."),
        ("[" * 100_000, "job.json"),
    ],
)
def test_faults_are_named_with_their_place(tmp_path, text, message):
    path = tmp_path / "job.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidArgumentValueError) as caught:
        config_file.load(str(path), "JobCreateParameters")
    assert message in str(caught.value)
    assert caught.value.recommendations


def test_not_a_text_file(tmp_path):
    path = tmp_path / "job.json"
    path.write_bytes(b"{\xff")
    with pytest.raises(InvalidArgumentValueError, match="byte 1 cannot be decoded"):
        config_file.load(str(path), "JobCreateParameters")


@pytest.mark.parametrize("name", ["missing.json", "."])
def test_unreadable(tmp_path, name):
    with pytest.raises(FileOperationError, match="cannot be read"):
        config_file.load(str(tmp_path / name), "JobCreateParameters")


def test_no_traceback_reaches_the_user(az, server, tmp_path):
    path = tmp_path / "job.json"
    path.write_text("{", encoding="utf-8")
    done = az("batchai", "job", "create", *IN_EXPERIMENT, "-n", "j", "-c", "c", "-f", str(path))
    assert done.code == 1
    assert f"{path}, line 1, column 2" in done.stderr
    assert "Traceback" not in done.stderr
    assert not server.requests


@pytest.mark.documented
def test_recipes_load(shared):
    recipes = sorted((shared / "recipes").glob("*.json"))
    assert recipes
    for recipe in recipes:
        assert config_file.load(str(recipe), "JobCreateParameters").node_count, recipe.name
