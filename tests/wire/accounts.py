"""A storage account of the embedded service, as clients of storage see it."""

import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.service import Service

_API = "?api-version=2023-01-01"


@dataclass
class Account:
    service: Service
    resource: str
    name: str
    keys: list[str]
    endpoints: dict[str, str]

    @property
    def connection_string(self) -> str:
        return self.connection_string_with(self.keys[0])

    def connection_string_with(self, key: str) -> str:
        return (
            f"DefaultEndpointsProtocol=http;AccountName={self.name};AccountKey={key};"
            f"BlobEndpoint={self.endpoints['blob']};FileEndpoint={self.endpoints['file']}"
        )

    def folder(self, service: str, name: str) -> Path:
        return self.service.home / "storage" / self.name / service / name


def create(service: Service, name: str) -> Account:
    """In the subscription and group that `az batchai` uses in tests."""
    group = f"/subscriptions/{service.info['subscription']}/resourceGroups/research"
    path = f"{group}/providers/Microsoft.Storage/storageAccounts/{name}"
    status, _, body = service.request("PUT", path + _API, {"location": "eastus"})
    assert status == 200, body
    keys = service.request("POST", f"{path}/listKeys{_API}")[2]["keys"]
    return Account(service, path, name, [key["value"] for key in keys], body["properties"]["primaryEndpoints"])


def fetch(url: str, method: str = "GET", data: bytes | None = None, **headers: str) -> tuple[int, Any, bytes]:
    """One request without credentials of its own; `headers` are written with underscores."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data, names, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, exc.headers, exc.read()
