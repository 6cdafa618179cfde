"""Requests that no client sends by accident: refused with 4xx, never a 500, never half done."""

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from harness.service import Service
from wire.api import GROUP, SUBSCRIPTION, VERSION, Api

pytestmark = pytest.mark.invented


def send(service: Service, method: str, target: str, body: bytes | None = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(urlsplit(service.info["endpoint"]).netloc, timeout=20)
    try:
        headers = {"Authorization": f"Bearer {service.info['token']}", "Content-Type": "application/json"}
        connection.request(method, target, body, headers)
        response = connection.getresponse()
        text = response.read()
        return response.status, json.loads(text) if text else {}
    finally:
        connection.close()


BODIES = {
    "arrays": b"[" * 100_000,
    "objects": b'{"a":' * 100_000,
    "closed": b"[" * 900 + b"]" * 900,
    "deep": b'{"properties":' + b'{"a":' * 70 + b"1" + b"}" * 70 + b"}",
    "surrogate": b'{"location":"eastus","tags":{"a":"\\ud800"}}',
    "surrogate name": b'{"location":"eastus","tags":{"\\uDFFF":"a"}}',
    "raw surrogate": b'{"location":"\xed\xa0\x80"}',
    "NUL": b'{"location":"eastus","tags":{"a":"b\\u0000c"}}',
    "no UTF-8": b'{"location":"\xff\xfe"}',
    "NaN": b'{"location":NaN}',
    "Infinity": b'{"location":1e999}',
    "number": b'{"location":' + b"1" * 10_000 + b"}",
    "half": b'{"location":"eastus"',
    "array": b"[1]",
    "text": b'"text"',
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_cannot_be_kept_is_refused(api: Api, name: str) -> None:
    for path in (
        f"{GROUP}/providers/Microsoft.BatchAI/workspaces/hostile",
        f"{api.workspace}/clusters/hostile",
        api.job("hostile"),
        f"{GROUP}/providers/Microsoft.Storage/storageAccounts/hostile",
    ):
        status, body = send(api.service, "PUT", f"{path}?{VERSION}", BODIES[name])
        assert status == 400, (path, body)
        assert body["error"]["message"]
        assert send(api.service, "GET", f"{path}?{VERSION}")[0] == 404


def test_text_that_only_looks_like_it_is_taken(api: Api) -> None:
    path = f"{api.workspace}x"
    text = '{"location":"eastus","tags":{"a":"\\\\u0000 \\ud83d\\ude00 \\\\ud800"}}'
    assert send(api.service, "PUT", f"{path}?{VERSION}", text.encode())[0] == 200
    assert send(api.service, "GET", f"{path}?{VERSION}")[1]["tags"] == {"a": "\\u0000 \U0001f600 \\ud800"}


@pytest.mark.parametrize(
    "query",
    [
        "maxresults=%00",
        "maxresults=%FF",
        "maxresults=" + "9" * 5000,
        "maxresults=-1",
        "maxresults=1e3",
        "$skiptoken=%C3%A9",
        "$skiptoken=" + "9" * 30,
        "%24skiptoken=%ED%A0%80",
        "x=%00",
    ],
)
def test_a_query_that_makes_no_sense_is_refused(api: Api, query: str) -> None:
    assert send(api.service, "GET", f"{api.workspace}/clusters?{VERSION}&{query}")[0] == 400


@pytest.mark.parametrize("query", ["", "=", "&&&", "%", "%zz=%zz", "a" * 20_000, "&".join(["a=b"] * 2000)])
def test_a_query_that_says_nothing_does_no_harm(api: Api, query: str) -> None:
    assert send(api.service, "GET", f"{api.workspace}/clusters?{VERSION}&{query}")[0] == 200


PATHS = [
    *("/%00", "/%FF", "//", "/subscriptions/%ED%A0%80", f"{GROUP}%00", f"{GROUP}/providers/%00/x", "/" + "a" * 20_000),
    *(f"{GROUP}/providers/Microsoft.BatchAI/workspaces/{name}" for name in ("%00", "%2e%2e", "%FF", "a%2Fb", "%F0%9F")),
]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_that_is_none_is_refused(service: Service, path: str) -> None:
    for method in ("GET", "PUT", "DELETE", "POST", "HEAD", "PATCH", "OPTIONS"):
        status, _ = send(service, method, f"{path}?{VERSION}", b"{}" if method in ("PUT", "PATCH") else None)
        assert 400 <= status < 500 or status == 501, method  # what is not served here is told as such


@pytest.mark.parametrize("version", ["2018-03-01", "2017-09-01-preview", "2018-05-02", "x", "%00"])
@pytest.mark.parametrize(
    "path",
    [
        f"{GROUP}/providers/Microsoft.BatchAI/clusters/c",  # before workspaces
        f"{GROUP}/providers/Microsoft.BatchAI/clusters",
        f"{GROUP}/providers/Microsoft.BatchAI/jobs/j/terminate",
        f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.BatchAI/fileServers",
        f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.BatchAI/workspaces",
        f"{GROUP}/providers/Microsoft.BatchAI/workspaces/w",
        f"{GROUP}/providers/Microsoft.BatchAI/workspaces/w/experiments/e/jobs/j",
        f"{GROUP}/providers/microsoft.batchai/Workspaces/w/clusters/c",
        "/providers/Microsoft.BatchAI/operations",
    ],
)
def test_an_older_version_is_told_which_one_is_supported(service: Service, version: str, path: str) -> None:
    for method in ("GET", "PUT", "POST", "DELETE"):
        body = b"{}" if method == "PUT" else None
        status, answer = send(service, method, f"{path}?api-version={version}", body)
        assert (status, answer["error"]["code"]) == (400, "InvalidApiVersionParameter"), method
        assert "2018-05-01" in answer["error"]["message"]
