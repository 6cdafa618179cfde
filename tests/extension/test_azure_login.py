"""The endpoint `arm`: with `az login`, and without it by what the environment offers, in any cloud.

Against a stand-in of ARM over TLS, in which only tokens count that its login service or identity endpoints gave out.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from extension import azure_standin
from extension.azure_standin import (
    CLIENT,
    IDENTITY_HEADER,
    SECRET,
    STORAGE_SUFFIX,
    SUBSCRIPTION,
    TENANT,
    StandIn,
)
from harness.az import Outcome, run_process

pytestmark = pytest.mark.documented

LIST = ("batchai", "workspace", "list")
WORKSPACES = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.BatchAI/workspaces"
OTHER = "44444444-4444-4444-4444-444444444444"
SERVICE_PRINCIPAL = {"AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": CLIENT, "AZURE_CLIENT_SECRET": SECRET}
Az = Callable[..., Outcome]


@pytest.fixture(scope="module")
def standin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with azure_standin.running(tmp_path_factory.mktemp("standin")) as made:
        yield made


@pytest.fixture(scope="module")
def configuration(standin: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An az configuration whose active cloud is the stand-in, and in which nobody is logged in."""
    folder = tmp_path_factory.mktemp("azure")
    env = {"AZURE_CONFIG_DIR": str(folder), "REQUESTS_CA_BUNDLE": str(standin.certificate)}
    register = ("cloud", "register", "-n", "StandIn", "--endpoint-resource-manager", standin.url)
    register += ("--suffix-storage-endpoint", STORAGE_SUFFIX)  # azure-cli 2.67 does not ask for it
    for command in (register, ("cloud", "set", "-n", "StandIn"), ("config", "set", "core.instance_discovery=false")):
        done = run_process(*command, env=env)
        assert done.code == 0, done.stderr
    return folder


@pytest.fixture
def az(standin: StandIn, configuration: Path, tmp_path: Path) -> Az:
    """`az(*words, VARIABLE=value...)` as a process of its own, in a copy of that configuration."""
    standin.reset()
    standin.answers["GET", WORKSPACES] = (200, {"value": []})
    folder = tmp_path / "azure"
    shutil.copytree(configuration, folder)
    env = {
        "AZURE_CONFIG_DIR": str(folder),
        "AZURE_BATCHAI_ENDPOINT": "arm",
        "REQUESTS_CA_BUNDLE": str(standin.certificate),
    }
    return lambda *words, **more: run_process(*words, env={**env, **more})


def test_az_login(az: Az, standin: StandIn) -> None:
    done = az("login", "--service-principal", "-u", CLIENT, "-p", SECRET, "--tenant", TENANT)
    assert done.code == 0, done.stderr
    standin.callers.clear()
    # What the environment offers does not count then.
    done = az(*LIST, IDENTITY_ENDPOINT=standin.identity_url, IDENTITY_HEADER=IDENTITY_HEADER)
    assert (done.code, done.json()) == (0, [])
    assert set(standin.callers) == {"secret"}


@pytest.fixture
def environments(standin: StandIn, tmp_path: Path) -> dict[str, dict[str, str]]:
    token = tmp_path / "federated-token"
    token.write_text(standin.federated_token, encoding="utf-8")
    principal = {"AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": CLIENT}
    return {
        "secret": SERVICE_PRINCIPAL,
        "federated": {
            **principal,
            "AZURE_FEDERATED_TOKEN_FILE": str(token),
            "AZURE_AUTHORITY_HOST": standin.url,
        },
        "app service": {"IDENTITY_ENDPOINT": standin.identity_url, "IDENTITY_HEADER": IDENTITY_HEADER},
        "cloud shell": {"MSI_ENDPOINT": standin.identity_url},
    }


@pytest.mark.parametrize("kind", ["secret", "federated", "app service", "cloud shell"])
def test_credential_of_the_environment(az: Az, standin: StandIn, environments: dict, kind: str) -> None:
    done = az(*LIST, **environments[kind])
    assert (done.code, done.stderr) == (0, "")
    assert done.json() == []
    assert standin.callers == [kind, kind]
    assert [path for _, path, _ in standin.requests] == ["/subscriptions", WORKSPACES], "the only subscription is taken"
    assert len(standin.tokens) == 1, "one token serves"


@pytest.mark.parametrize(
    ("words", "more"),
    [
        (("--subscription", SUBSCRIPTION), {}),
        ((), {"AZURE_SUBSCRIPTION_ID": SUBSCRIPTION}),
        ((), {"AZURE_BATCHAI_SUBSCRIPTION": SUBSCRIPTION}),
    ],
)
def test_chosen_subscription(az: Az, standin: StandIn, words: tuple, more: dict) -> None:
    standin.subscriptions[OTHER] = "another"
    assert az(*LIST, *words, **SERVICE_PRINCIPAL, **more).code == 0
    assert [path for _, path, _ in standin.requests] == [WORKSPACES]


def test_several_subscriptions(az: Az, standin: StandIn) -> None:
    standin.subscriptions[OTHER] = "another"
    done = az(*LIST, **SERVICE_PRINCIPAL)
    assert done.code == 1
    assert f"another ({OTHER})" in done.stderr
    assert "--subscription" in done.stderr


def test_no_subscription(az: Az, standin: StandIn) -> None:
    standin.subscriptions.clear()
    done = az(*LIST, **SERVICE_PRINCIPAL)
    assert done.code == 1
    assert "reaches no subscription" in done.stderr


def test_neither_serves(az: Az, standin: StandIn) -> None:
    done = az(*LIST)
    assert done.code == 1
    first, *rest = done.stderr.splitlines()
    assert first.startswith("ERROR: The Batch AI endpoint is Azure ('arm'), nobody is logged in to Azure")
    assert "az login" in "\n".join(rest)
    assert "AZURE_CLIENT_ID" in "\n".join(rest)
    assert len(done.stderr.splitlines()) == 4, done.stderr
    assert not standin.requests


def test_refused_credential(az: Az, standin: StandIn) -> None:
    done = az(*LIST, **{**SERVICE_PRINCIPAL, "AZURE_CLIENT_SECRET": "wrong"})
    assert done.code == 1
    first = done.stderr.splitlines()[0]
    assert first.startswith("ERROR: The credential of the environment was refused: ")
    assert "AADSTS7000215" in first
    assert "wrong" not in done.stderr
    assert not standin.requests


def test_stranger_at_the_endpoint(az: Az, standin: StandIn) -> None:
    """TLS that nothing vouches for gets no token."""
    done = az(*LIST, **SERVICE_PRINCIPAL, REQUESTS_CA_BUNDLE="")
    assert done.code == 1
    assert "CERTIFICATE_VERIFY_FAILED" in done.stderr
    assert "Traceback" not in done.stderr
    assert not standin.tokens


def test_storage_of_a_sovereign_cloud(az: Az, standin: StandIn) -> None:
    """Its endpoints are those of the active cloud (all of the above), and so is the suffix of its storage."""
    cluster = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/g/providers/Microsoft.BatchAI/workspaces/w/clusters/c"
    standin.answers["GET", cluster] = (404, {"error": {"code": "ClusterNotFound", "message": "m"}})
    standin.answers["PUT", cluster] = (200, {"id": cluster, "name": "c", "properties": {}})
    done = az(
        *("batchai", "cluster", "create", "-g", "g", "-w", "w", "-n", "c", "-s", "s", "-t", "1", "-p", "pw"),
        *("--storage-account-name", "acct", "--storage-account-key", "k", "--afs-name", "share"),
        **SERVICE_PRINCIPAL,
    )
    assert done.code == 0, done.stderr
    (body,) = (body for method, _, body in standin.requests if method == "PUT")
    share = body["properties"]["nodeSetup"]["mountVolumes"]["azureFileShares"][0]
    assert share["azureFileUrl"] == f"https://acct.file.{STORAGE_SUFFIX}/share"
