"""--debug shows requests and answers, but no secret of them."""

import json
from pathlib import Path

import pytest

from azext_batchai.transport.redaction import redacted
from harness import az


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        (json.dumps({"properties": {"userAccountSettings": {"adminUserPassword": "hunter2"}}}), "hunter2"),
        (json.dumps({"secrets": [{"name": "TOKEN", "value": "hunter2"}]}), "hunter2"),
        (json.dumps({"keys": [{"keyName": "key1", "value": "hunter2=="}]}), "hunter2"),
        (json.dumps({"credentials": {"accountKey": "hunter2=="}}), "hunter2"),
        ('{"accountKey": "hunter2==", cut off', "hunter2"),
        ('http://127.0.0.1:80 "GET /a?sv=1&sig=hunter2&se=2 HTTP/1.1" 200', "hunter2"),
        ("BlobEndpoint=http://x/;AccountName=a;AccountKey=hunter2==;", "hunter2"),
    ],
)
def test_a_secret_is_hidden(line: str, secret: str) -> None:
    assert secret in line
    assert secret not in redacted(line)


@pytest.mark.parametrize(
    "line",
    [
        json.dumps({"environmentVariables": [{"name": "A", "value": "plain"}], "value": [{"name": "job"}]}),
        "Request URL: 'http://127.0.0.1:1/subscriptions/x?api-version=2018-05-01'",
        "{ this is no JSON",
    ],
)
def test_the_rest_stays(line: str) -> None:
    assert redacted(line) == line


def test_debug_of_a_job_from_its_cluster_to_its_output(tmp_path: Path, home: Path) -> None:
    group = ("-g", "rg", "-w", "ws")
    password = ("-u", "demo", "-p", "Hunter2-of-the-cluster")
    job = {
        "nodeCount": 1,
        "customToolkitSettings": {"commandLine": "echo done"},
        "stdOutErrPathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/autoafs",
        "secrets": [{"name": "TOKEN", "value": "Hunter2-of-the-job"}],
    }
    (tmp_path / "job.json").write_text(json.dumps({"properties": job}))
    said = []
    for line in (
        ("workspace", "create", "-g", "rg", "-n", "ws", "-l", "eastus"),
        ("cluster", "create", *group, "-n", "c", "-s", "STANDARD_D1", "-t", "1", "--use-auto-storage", *password),
        ("experiment", "create", *group, "-n", "e"),
        ("job", "create", *group, "-e", "e", "-n", "j", "-c", "c", "-f", str(tmp_path / "job.json")),
        ("job", "wait", *group, "-e", "e", "-n", "j"),
        ("job", "file", "stream", *group, "-e", "e", "-j", "j", "-f", "stdout.txt"),
    ):
        done = az.run_process("batchai", *line, "--debug")
        assert done.code == 0, done.stderr[-2000:]
        # az itself writes its command line first, before it knows of any extension.
        said += [text for text in done.stderr.splitlines() if "Command arguments:" not in text]
    text = "\n".join(said)
    assert "api-version=2018-05-01" in text and "downloadUrl" in text
    assert "Hunter2" not in text
    assert "sig=*****" in text and "sig=" not in text.replace("sig=*****", "")
    assert '"accountKey": "*****"' in text
