"""Configuration files: read, refused with the place of the fault, passed on as they stand."""

import json

import pytest
from azure.cli.core.azclierror import FileOperationError, InvalidArgumentValueError
from azure.mgmt.batchai.models import ClusterCreateParameters, JobCreateParameters

from azext_batchai.command_line import config_file
from extension.jobs import IN_EXPERIMENT
from facts import recipes

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
@pytest.mark.parametrize("recipe", recipes.load())
def test_recipes_load(write_json, recipe):
    file = write_json("job.json", recipes.load()[recipe])
    assert config_file.load(file, "JobCreateParameters").node_count


def loaded(tmp_path, name: str, text: str) -> dict:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return body(config_file.load(str(path), "JobCreateParameters"))


def test_comments(tmp_path):
    text = '{ // one "node"\n "nodeCount": 1, /* and\n more */ "stdOutErrPathPrefix": "http://a/*b*/\\"//" }'
    assert loaded(tmp_path, "job.json", text) == {"nodeCount": 1, "stdOutErrPathPrefix": 'http://a/*b*/"//'}


def test_the_place_of_a_fault_after_comments(tmp_path):
    with pytest.raises(InvalidArgumentValueError, match="line 3, column 2: this is not JSON"):
        loaded(tmp_path, "job.json", "{ /* two\nlines */ // more\n x}")


@pytest.mark.parametrize("name", ["job.yaml", "job.YML"])
def test_yaml(tmp_path, name):
    text = (
        "# mine\nnodeCount: 2\nstdOutErrPathPrefix: 2018-05-01\ncustomToolkitSettings:\n  commandLine: |\n    echo a\n"
    )
    assert loaded(tmp_path, name, text) == {
        "nodeCount": 2,
        "stdOutErrPathPrefix": "2018-05-01",
        "customToolkitSettings": {"commandLine": "echo a\n"},
    }


@pytest.mark.parametrize(
    "text", ["a: [", "!!python/object/apply:os.system ['true']", "- x", "outputDirectories: &x [*x]", ""]
)
def test_yaml_that_does_not_do(tmp_path, text):
    with pytest.raises(InvalidArgumentValueError):
        loaded(tmp_path, "job.yaml", text)


@pytest.mark.parametrize(
    ("given", "advice"), [("1h", "PT1H"), ("2 days", "P2D"), (90, "PT90S"), ("soon", "PT1H or P7D")]
)
def test_durations_that_are_none(write_json, given, advice):
    path = write_json("job.json", {"constraints": {"maxWallClockTime": given}})
    with pytest.raises(InvalidArgumentValueError, match=f"write {advice}\\."):
        config_file.load(path, "JobCreateParameters")


@pytest.mark.parametrize("given", ["PT1H", "P7D", "P1DT2H3M4.5S", "P2W"])
def test_durations(write_json, given):
    path = write_json("job.json", {"constraints": {"maxWallClockTime": given}})
    assert config_file.load(path, "JobCreateParameters").constraints.max_wall_clock_time.total_seconds() > 0


def test_a_shown_job(write_json, caplog):
    """What az adds and what only the service says is left out without a word."""
    server = {"id": "/subscriptions/s/x", "resourceGroup": "g"}
    shown = {
        **JOB,
        "id": "/subscriptions/s/j",
        "name": "j",
        "resourceGroup": "g",
        "type": "t",
        "provisioningState": "succeeded",
        "executionState": "failed",
        "executionInfo": {"exitCode": 1},
        "toolType": "custom",
        "containerSettings": None,
        "secrets": None,
        "cluster": {"id": "/subscriptions/s/c", "resourceGroup": "g"},
        "constraints": {"maxWallClockTime": "150 days, 0:00:00"},
        "mountVolumes": {"azureFileShares": None, "fileServers": [{"fileServer": server, "relativeMountPath": "n"}]},
    }
    assert body(config_file.load(write_json("job.json", shown), "JobCreateParameters")) == {
        **JOB,
        "cluster": {"id": "/subscriptions/s/c"},
        "constraints": {"maxWallClockTime": "P150D"},
        "mountVolumes": {"fileServers": [{"fileServer": {"id": "/subscriptions/s/x"}, "relativeMountPath": "n"}]},
    }
    assert not caplog.records


@pytest.mark.parametrize(
    ("shown", "iso"),
    [("150 days, 0:00:00", "P150D"), ("1 day, 2:03:04", "P1DT2H3M4S"), ("0:30:00", "PT30M"), ("0:00:00", "P0D")],
)
def test_durations_as_az_prints_them(shown, iso):
    from azext_batchai.command_line import durations

    assert durations.of_shown(shown) == iso
    assert durations.is_iso(iso)
