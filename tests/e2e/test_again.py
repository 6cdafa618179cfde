"""A shown job makes another: job create -f, job show --as-config, job resubmit."""

import json
from pathlib import Path

import pytest

from harness import az
from harness.cluster import ok

pytestmark = pytest.mark.invented
IN_LAB = ("-g", "research", "-w", "lab", "-e", "exp")


def logs(name: str) -> str:
    return az.run("batchai", "job", "logs", *IN_LAB, "-n", name, "--follow").output


def test_a_shown_job_is_a_configuration_file(trainers: str, submit, tmp_path: Path) -> None:
    variables = [{"name": "WHAT", "value": "shown"}]
    submit("first", "echo $WHAT", environmentVariables=variables, constraints={"maxWallClockTime": "PT1H"})
    for number, more in enumerate(((), ("--as-config",))):
        shown = az.run("batchai", "job", "show", *IN_LAB, "-n", "first", *more)
        path = tmp_path / f"{number}.json"
        path.write_text(shown.output)
        name = f"copy-{number}"
        made = az.run("batchai", "job", "create", *IN_LAB, "-n", name, "-f", str(path), "--strict")
        assert (made.code, made.stderr) == (0, "")
        assert logs(name) == "shown\n"
        assert made.json()["constraints"] == ok(az.run("batchai", "job", "show", *IN_LAB, "-n", "first"))["constraints"]
    config = json.loads(path.read_text())["properties"]
    assert config["constraints"] == {"maxWallClockTime": "PT1H"}
    assert "executionState" not in config
    assert az.run("batchai", "job", "show", *IN_LAB, "-n", "first", "--as-config", "-o", "table").code == 0


def test_resubmit(trainers: str, submit, monkeypatch: pytest.MonkeyPatch) -> None:
    submit("old", "echo $A", environmentVariables=[{"name": "A", "value": "1"}])
    again = ("batchai", "job", "resubmit", *IN_LAB, "-n", "old")
    assert ok(az.run(*again))["name"] == "old-2"
    assert ok(az.run(*again, "--set", "environmentVariables[0].value=changed"))["name"] == "old-3"
    assert (logs("old-2"), logs("old-3")) == ("1\n", "changed\n")
    line = "customToolkitSettings.commandLine=echo a=b"
    assert ok(az.run(*again, "--new-name", "line", "--set", line, "-c", "mycluster"))["name"] == "line"
    assert logs("line") == "a=b\n"
    for wrong in ("nodecount=2", "nodeCount=two", "nothing", "environmentVariables[7].value=x", "nodeCount.x=1"):
        refused = az.run(*again, "--new-name", "wrong", "--set", wrong)
        assert refused.code == 1, wrong
        assert "Traceback" not in refused.stderr
    assert az.run(*again, "--new-name", "line").code == 1
    assert az.run("batchai", "job", "show", *IN_LAB, "-n", "wrong").code == 3


def test_secrets_are_given_again(trainers: str, submit, monkeypatch: pytest.MonkeyPatch) -> None:
    submit("secret", "echo ${#TOKEN}", secrets=[{"name": "TOKEN", "value": "SESAME"}])
    again = ("batchai", "job", "resubmit", *IN_LAB, "-n", "secret")
    refused = az.run(*again)
    assert refused.code == 1
    assert "secrets: TOKEN." in refused.stderr
    monkeypatch.setenv("TOKEN", "other")
    ok(az.run(*again, "--secret", "TOKEN"))
    assert logs("secret-2") == "5\n"
