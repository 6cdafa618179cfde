"""Where requests go, and with which credential and subscription."""

import pytest

from extension.scripted import SUBSCRIPTION, Answer

OTHER = "11111111-2222-3333-4444-555555555555"


def test_subscription_of_the_command_line(az, server):
    server.expect("GET", f"/subscriptions/{OTHER}/providers/Microsoft.BatchAI/workspaces", Answer(200, {"value": []}))
    assert az("batchai", "workspace", "list", "--subscription", OTHER).code == 0


def test_subscription_of_the_configuration(az, server, monkeypatch):
    monkeypatch.setenv("AZURE_BATCHAI_SUBSCRIPTION", OTHER)
    server.expect("GET", f"/subscriptions/{OTHER}/providers/Microsoft.BatchAI/workspaces", Answer(200, {"value": []}))
    assert az("batchai", "workspace", "list").code == 0


def test_headers(az, server):
    server.expect(
        "GET", f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.BatchAI/workspaces", Answer(200, {"value": []})
    )
    az("batchai", "workspace", "list")
    headers = server.requests[0].headers
    assert headers["commandname"] == "batchai workspace list"
    assert "AZURECLI/" in headers["user-agent"]


def test_all_pages_of_a_list(az, server):
    path = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.BatchAI/workspaces"
    id_ = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/g/providers/Microsoft.BatchAI/workspaces/"
    first = {"value": [{"id": id_ + "a", "name": "a"}], "nextLink": f"{server.url}/page2"}
    server.expect("GET", path, Answer(200, first))
    server.expect("GET", "/page2", Answer(200, {"value": [{"id": id_ + "b", "name": "b"}]}))
    assert [item["name"] for item in az("batchai", "workspace", "list").result] == ["a", "b"]


def test_no_proxy_to_loopback(az, server, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    server.expect(
        "GET", f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.BatchAI/workspaces", Answer(200, {"value": []})
    )
    assert az("batchai", "workspace", "list").code == 0


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [
        ("http://10.0.0.1:80", "in clear text"),
        ("http://localhost.example.org", "in clear text"),
        ("cloud", "neither 'local' nor 'arm' nor a URL"),
        ("ftp://127.0.0.1", "neither 'local' nor 'arm' nor a URL"),
    ],
)
def test_refused_endpoints(az, monkeypatch, endpoint, message):
    monkeypatch.setenv("AZURE_BATCHAI_ENDPOINT", endpoint)
    monkeypatch.setenv("AZURE_BATCHAI_TOKEN", "t")
    done = az("batchai", "workspace", "list")
    assert done.code == 1
    assert message in done.stderr
    assert "AZURE_BATCHAI_ENDPOINT" in done.stderr or "Use https" in done.stderr


def test_url_without_a_token(az, monkeypatch):
    monkeypatch.setenv("AZURE_BATCHAI_ENDPOINT", "https://batchai.example.org")
    done = az("batchai", "workspace", "list")
    assert done.code == 1
    assert "There is no token" in done.stderr
    assert "AZURE_BATCHAI_TOKEN" in done.stderr


@pytest.mark.parametrize("verb", ["list", "show"])
def test_azure_without_a_login(az, monkeypatch, verb):
    monkeypatch.setenv("AZURE_BATCHAI_ENDPOINT", "arm")
    done = az("batchai", "workspace", verb, "-g", "g", *(("-n", "w") if verb == "show" else ()))
    assert done.code == 1
    assert "nobody is logged in to Azure" in done.stderr
    assert "az login" in done.stderr


def test_local_takes_only_a_guid(az, home):
    done = az("batchai", "workspace", "list", "--subscription", "Pay-As-You-Go")
    assert done.code == 1
    assert "--subscription 'Pay-As-You-Go' is not a subscription ID." in done.stderr
