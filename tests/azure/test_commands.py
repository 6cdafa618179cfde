"""The commands around `az batchai` that docs/scripts.md promises: stock azure-cli, in the local cloud."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import az
from harness.service import Service

pytestmark = pytest.mark.documented
# One process for all commands: az takes a second to load, and a few milliseconds for the next command.
_DRIVER = """
import io, json, sys
from azure.cli.core import get_default_cli
answers, sys.stderr = sys.stdout, io.StringIO()  # the log keeps the first stderr that it sees
for line in sys.stdin:
    out = io.StringIO()
    sys.stderr.seek(0), sys.stderr.truncate()
    try:
        code = get_default_cli().invoke(json.loads(line), out_file=out)
    except SystemExit as exc:
        code = exc.code
    print(json.dumps([code, out.getvalue(), sys.stderr.getvalue()]), file=answers, flush=True)
"""


class Az:
    """Stock azure-cli in the local cloud of a service."""

    def __init__(self, environ: dict[str, str]) -> None:
        command = [sys.executable, "-c", _DRIVER]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environ)

    def close(self) -> None:
        self._process.communicate(timeout=30)

    def run(self, *words: str) -> tuple[int, str, str]:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        code, output, stderr = json.loads(self._process.stdout.readline())
        return code, output, stderr

    def __call__(self, line: str, *more: str) -> Any:
        """What `az LINE` returned; fails unless it succeeded."""
        code, output, stderr = self.run(*line.split(), *more)
        assert code == 0, stderr
        return json.loads(output) if output.strip() else None


@pytest.fixture(scope="module")
def stock(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Az]:
    changes = az.run("batchai", "local", "env", "--json").json()
    environ = {**os.environ, **{name: value for name, value in changes.items() if value is not None}}
    environ["AZURE_EXTENSION_DIR"] = str(tmp_path_factory.mktemp("no-extensions"))
    running = Az(environ)
    yield running
    running.close()


@pytest.fixture(scope="module")
def group(stock: Az) -> str:
    return stock("group create -n Stock -l westus2 --tags team=a")["name"]


@pytest.fixture(scope="module")
def account(stock: Az, group: str) -> str:
    return stock(f"storage account create -n stockaccount -g {group} --sku Standard_GRS --tags k=v")["name"]


def test_account(stock: Az, service: Service) -> None:
    subscription = service.info["subscription"]
    assert [item["id"] for item in stock("account list --refresh")] == [subscription]
    assert stock("account get-access-token")["subscription"] == subscription
    assert stock("account get-access-token --resource https://storage.azure.com")["accessToken"]
    stock(f"account set -s {subscription}")
    stock("account set -s", "Local Batch AI (this machine)")
    assert "westeurope" in [item["name"] for item in stock("account list-locations")]


def test_group(stock: Az, group: str) -> None:
    assert stock(f"group update -n {group} --set tags.more=b")["tags"] == {"team": "a", "more": "b"}
    assert [item["name"] for item in stock("group list --tag more=b")] == [group]
    assert stock("group list --tag more=c") == []
    assert stock(f"group show -n {group}")["location"] == "westus2"
    assert stock("group create -n gone -l eastus")["name"] == "gone"
    stock("group delete -n gone -y --no-wait")
    stock("group wait -n gone --deleted --interval 1")
    assert stock("group exists -n gone") is False


def test_provider(stock: Az) -> None:
    stock("provider register -n Microsoft.BatchAI --wait")
    assert stock("provider show -n Microsoft.BatchAI")["registrationState"] == "Registered"
    assert "Microsoft.Storage" in [item["namespace"] for item in stock("provider list")]


def test_storage_account(stock: Az, group: str, account: str) -> None:
    assert stock(f"storage account show -n {account}")["sku"]["name"] == "Standard_GRS"
    assert stock(f"storage account update -n {account} -g {group} --tags k=w")["tags"] == {"k": "w"}
    assert stock("storage account check-name -n stockaccount")["nameAvailable"] is False
    assert stock("storage account check-name -n anotherone")["nameAvailable"] is True
    assert [item["name"] for item in stock(f"storage account list -g {group}")] == [account]
    before = stock(f"storage account keys list -n {account} -g {group}")
    after = stock(f"storage account keys renew -n {account} -g {group} --key primary")
    assert before[0]["value"] != after[0]["value"]
    assert before[1]["value"] == after[1]["value"]
    text = stock(f"storage account show-connection-string -n {account} -g {group}")["connectionString"]
    assert f"FileEndpoint=https://{account}.file.core.localhost/" in text
    assert stock("storage account show-usage -l westus2")["currentValue"] == 1
    stock(f"storage account create -n shortlived -g {group}")
    stock(f"storage account delete -n shortlived -g {group} -y")
    assert stock.run("storage", "account", "show", "-n", "shortlived", "-g", group)[0] == 3


def test_storage_by_each_credential(stock: Az, account: str, group: str, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("content")
    key = stock(f"storage account keys list -n {account} -g {group}")[0]["value"]
    text = stock(f"storage account show-connection-string -n {account} -g {group}")["connectionString"]
    by_key = ("--account-name", account, "--account-key", key)
    assert stock("storage share create -n data", *by_key)["created"]
    soon = "2099-01-01T00:00Z"
    words = f"storage account generate-sas --services bf --resource-types sco --permissions rwdlc --expiry {soon}"
    signature = stock(words, *by_key)
    ways = [by_key, ("--connection-string", text), ("--account-name", account, "--sas-token", signature)]
    ways.append(("--account-name", account, "--auth-mode", "login"))
    for number, way in enumerate(ways):
        stock(f"storage container create -n c{number}00", *way)
        stock(f"storage blob upload -c c{number}00 -n x.txt -f {tmp_path / 'x.txt'} --no-progress", *way)
        assert stock(f"storage blob exists -c c{number}00 -n x.txt", *way)["exists"] is True
        backup = ("--enable-file-backup-request-intent",) if "login" in way else ()
        stock(
            f"storage file upload -s data -p d{number}.txt --source {tmp_path / 'x.txt'} --no-progress", *way, *backup
        )
    assert len(stock("storage file list -s data", *by_key)) == len(ways)


def test_resource(stock: Az, group: str, account: str) -> None:
    stock(f"batchai workspace create -g {group} -n ws")
    assert [item["name"] for item in stock(f"resource list -g {group}")] == ["ws", account]
    kind = "Microsoft.BatchAI/workspaces"
    assert [item["name"] for item in stock(f"resource list --resource-type {kind}")] == ["ws"]
    shown = stock(f"resource show -g {group} -n ws --resource-type {kind}")
    assert stock(f"resource show --ids {shown['id']}")["name"] == "ws"


def test_role(stock: Az, group: str) -> None:
    [role] = stock("role definition list --name Contributor")
    assert role["roleName"] == "Contributor"
    scope = stock(f"group show -n {group}")["id"]
    principal = "22222222-3333-4444-5555-666666666666"
    words = f"role assignment create --role Contributor --scope {scope} --assignee-object-id {principal}"
    made = stock(words, "--assignee-principal-type", "ServicePrincipal")
    assert (made["principalId"], made["scope"]) == (principal, scope)


def test_rest(stock: Az, group: str) -> None:
    url = "/subscriptions/{subscriptionId}/resourceGroups/" + group + "?api-version=2021-04-01"
    assert stock("rest --method get --url", url)["name"] == group


@pytest.mark.not_supported
@pytest.mark.parametrize(
    "line",
    [
        "network vnet create -g Stock -n net",
        "keyvault create -g Stock -n vaultvault -l eastus",
        "acr create -g Stock -n registry1 --sku Basic",
    ],
)
def test_what_there_is_not_is_said_at_once(stock: Az, group: str, line: str) -> None:
    code, _, stderr = stock.run(*line.split())
    assert code in (1, 3)
    assert "not served by the local cloud" in stderr or "does not exist in the local cloud" in stderr, stderr
    assert "Traceback" not in stderr
