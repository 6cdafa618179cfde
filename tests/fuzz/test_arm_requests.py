"""Generated requests to the resource manager of the embedded service: ids, query strings and bodies of every kind.

BATCHAI_EXAMPLES is the number of requests of each kind. No generated text is ever executed: see `openapi.harmless`.
"""

import copy
import json
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from harness.service import Service
from wire import openapi
from wire.api import GROUP, SUBSCRIPTION, USER, VERSION, Api
from wire.storage_requests import send

pytestmark = [pytest.mark.invented, pytest.mark.timeout(1200)]

EXAMPLES = int(os.environ.get("BATCHAI_EXAMPLES", "25"))
RUN = settings(
    max_examples=EXAMPLES * 4,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    database=None,
)

ODD = st.sampled_from(
    [
        *(b"", b".", b"..", b"\0", b"\xff", b"\xed\xa0\x80", b"%", b"%2f", b"a b", b"[", b"{}", b"<&>", b"\xc3\xa9"),
        *(b"x" * 300, b"d/" * 2500, b"x" * 5000, b"a\0b", b"\r\n", b"/etc", b"../..", b"\xd9\xa3", b"-1", b"9" * 5000),
    ]
)
NAME = st.one_of(ODD, st.binary(max_size=5)).map(lambda name: quote_from_bytes(name, safe=""))
WORKSPACES = f"{GROUP}/providers/Microsoft.BatchAI/workspaces"
KNOWN = f"{WORKSPACES}/known"
JOB = f"{KNOWN}/experiments/exp/jobs/job"
ACCOUNTS = f"{GROUP}/providers/Microsoft.Storage/storageAccounts"
LOCATION = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.BatchAI/locations/eastus"
PATHS = [
    *(
        f"{JOB}/listOutputFiles",
        f"{JOB}/terminate",
        f"{JOB}/listRemoteLoginInformation",
        JOB,
        f"{KNOWN}/experiments/exp/jobs",
    ),
    *(
        f"{KNOWN}/experiments/exp",
        f"{KNOWN}/experiments",
        f"{KNOWN}/clusters/cluster",
        f"{KNOWN}/clusters",
        KNOWN,
        WORKSPACES,
    ),
    *(f"{KNOWN}/clusters/cluster/listRemoteLoginInformation", f"{KNOWN}/fileServers/server", f"{KNOWN}/fileServers"),
    *(
        f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.BatchAI/workspaces",
        "/providers/Microsoft.BatchAI/operations",
    ),
    *(f"{LOCATION}/usages", f"{LOCATION}/operationresults/x", f"{LOCATION}/operationstatuses/x", GROUP),
    *(f"/subscriptions/{SUBSCRIPTION}/resourcegroups", f"/subscriptions/{SUBSCRIPTION}/operationresults/x"),
    *(ACCOUNTS, f"{ACCOUNTS}/known", f"{ACCOUNTS}/known/listKeys", f"{ACCOUNTS}/known/fileServices/default/shares"),
    *(f"{ACCOUNTS}/known/fileServices/default/shares/share", f"{ACCOUNTS}/known/blobServices/default/containers/box"),
    *("/_local/status", "/_local/preempt/x", "/_local/none"),
]
METHODS = st.sampled_from(["GET", "HEAD", "PUT", "PATCH", "POST"])  # nothing that the other requests need is deleted
QUERIES = st.lists(
    st.tuples(
        st.sampled_from(
            ["maxresults", "$skiptoken", "outputdirectoryid", "directory", "linkexpiryinminutes", "$filter", "%00", "x"]
        ),
        st.one_of(NAME, st.sampled_from(["stdouterr", "1", "60", "0", "9" * 19, ".", "sub", "pipe", "out"])),
    ),
    max_size=3,
)
TEXTS = st.sampled_from(
    [
        *(
            b"[" * 100_000,
            b'{"properties":' * 50_000,
            b'{"a":"\\ud800"}',
            b'{"\\ud800":1}',
            b"\xff\xfe{}",
            b"\xed\xa0\x80",
        ),
        *(
            b"NaN",
            b"-Infinity",
            b"1e999",
            b"9" * 5000,
            b'{"a":1,"a":2}',
            b"\xef\xbb\xbf{}",
            b'"',
            b"\0",
            b"null",
            b"[]",
        ),
        b'{"properties":{"x":' + b"[" * 800 + b"]" * 800 + b"}}",
        json.dumps({"location": "eastus"}).encode("utf-16"),
    ]
)
VALUES = st.sampled_from(
    [
        *(
            None,
            True,
            0,
            -1,
            2**31,
            2**63,
            10**400,
            1.5,
            "",
            "\0",
            "\ud800",
            "x" * 40_000,
            "../..",
            "é",
            "[",
            "%00",
            "/",
        ),
        *(
            [],
            {},
            [[]],
            [None],
            [{}],
            {"": None},
            {"\ud800": "\udfff"},
            "P1D",
            "PT0S",
            "P99999999999Y",
            "PT1e9S",
            "-P1D",
        ),
        *(
            "/subscriptions/x",
            f"{KNOWN}/clusters/cluster",
            f"{KNOWN}/clusters/none",
            "$AZ_BATCHAI_MOUNT_ROOT/../x",
            "a\nb",
        ),
    ]
)


def _volume(path: str) -> dict[str, Any]:
    return {
        "accountName": "known",
        "azureFileUrl": "https://known.file.core.windows.net/share",
        "credentials": {"accountKey": "a2V5"},
        "relativeMountPath": path,
    }


BODIES: dict[str, Any] = {
    f"{WORKSPACES}/made": {"location": "eastus", "tags": {"a": "b"}},
    f"{KNOWN}/experiments/made": {},
    f"{KNOWN}/clusters/made": {
        "properties": {
            "vmSize": "Standard_D1",
            "vmPriority": "dedicated",
            "userAccountSettings": USER,
            "scaleSettings": {"autoScale": {"minimumNodeCount": 0, "maximumNodeCount": 1, "initialNodeCount": 0}},
            "virtualMachineConfiguration": {
                "imageReference": {"publisher": "p", "offer": "o", "sku": "s", "version": "1"}
            },
            "nodeSetup": {
                "setupTask": {
                    "commandLine": "true",
                    "environmentVariables": [{"name": "A", "value": "b"}],
                    "secrets": [{"name": "S", "value": "t"}],
                    "stdOutErrPathPrefix": openapi.MOUNT,
                },
                "mountVolumes": {"azureFileShares": [_volume("afs")]},
            },
        }
    },
    f"{KNOWN}/experiments/exp/jobs/made": {
        "properties": {
            "cluster": {"id": f"{KNOWN}/clusters/cluster"},
            "nodeCount": 1,
            "schedulingPriority": "normal",
            "customToolkitSettings": {"commandLine": "true"},
            "jobPreparation": {"commandLine": "true"},
            "stdOutErrPathPrefix": openapi.MOUNT,
            "inputDirectories": [{"id": "I", "path": openapi.MOUNT}],
            "outputDirectories": [{"id": "O", "pathPrefix": openapi.MOUNT, "pathSuffix": "s"}],
            "environmentVariables": [{"name": "A", "value": "b"}],
            "secrets": [{"name": "S", "value": "t"}],
            "constraints": {"maxWallClockTime": "PT1H"},
            "mountVolumes": {"azureFileShares": [_volume("job")]},
        }
    },
    f"{KNOWN}/fileServers/made": {
        "properties": {
            "vmSize": "Standard_D1",
            "sshConfiguration": {"userAccountSettings": USER, "publicIPsToAllow": ["1.2.3.4"]},
            "dataDisks": {"diskSizeInGB": 1, "diskCount": 1, "storageAccountType": "Standard_LRS"},
        }
    },
    f"{GROUP}": {"location": "eastus", "tags": {"a": "b"}},
    f"{ACCOUNTS}/made": {"location": "eastus", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"},
    f"{ACCOUNTS}/known/fileServices/default/shares/made": {"properties": {"shareQuota": 1}},
}


@pytest.fixture(scope="module")
def target(service: Service) -> Iterator[Service]:
    """A service with one of everything; its log shows that it never stumbled."""
    api = Api(service, "known")
    for path, body in (
        (f"{ACCOUNTS}/known", {"location": "eastus"}),
        (f"{ACCOUNTS}/known/fileServices/default/shares/share", {}),
    ):
        assert api.call("PUT", path, body)[0] in (200, 201)
    api.create_cluster("cluster")
    api.create_job(
        "job",
        "cd $AZ_BATCHAI_STDOUTERR_DIR && mkdir sub && ln -s / out && mkfifo pipe",
    )
    api.wait_for_job("job", "succeeded")
    yield service
    assert "Traceback" not in service.log()


def ask(service: Service, method: str, target: str, body: bytes | None) -> None:
    before = len(service.log())
    headers = {"Authorization": f"Bearer {service.info['token']}", "Content-Type": "application/json"}
    status, answered, answer = send(service, method, target, headers, body)
    said = f"{method} {target[:300]}\n{body and body[:2000]!r}\n{status} {answer[:500]!r}\n{service.log()[before:]}"
    assert status < 500 or (status == 501 and json.loads(answer)["error"]["code"] == "NotSupported"), said
    assert "Traceback" not in service.log()[before:], said
    if status >= 400 and method != "HEAD":
        error = json.loads(answer)["error"]
        assert error["code"] and error["message"], said


@RUN
@example("POST", f"{JOB}/listOutputFiles", 99, "x", [("directory", "%00")], True)
@example("POST", f"{JOB}/listOutputFiles", 99, "x", [("directory", "x" * 5000)], True)
@example("POST", f"{JOB}/listOutputFiles", 99, "x", [("directory", "pipe")], True)
@example("POST", f"{JOB}/listOutputFiles", 99, "x", [("directory", "out")], True)
@given(METHODS, st.sampled_from(PATHS), st.integers(0, 16), NAME, QUERIES, st.booleans())
def test_ids_and_queries(
    target: Service, method: str, path: str, place: int, name: str, query: list[tuple[str, str]], version: bool
) -> None:
    segments = path.split("/")
    if 0 < place < len(segments):
        segments[place] = name
    made = "/".join(segments)
    if method in ("PUT", "PATCH", "POST") and made in (f"{JOB}/terminate", f"{KNOWN}/clusters/cluster"):
        method = "GET"
    pairs = [*([("api-version", "2018-05-01")] if version else []), *query]
    if path.endswith("listOutputFiles"):
        pairs.append(("outputdirectoryid", "stdouterr"))
    ask(target, method, f"{made}?{'&'.join('='.join(pair) for pair in pairs)}", None)


@RUN
@given(st.sampled_from(["PUT", "PATCH", "POST"]), st.sampled_from([*BODIES, *PATHS[:3]]), TEXTS)
def test_bodies_that_are_no_requests(target: Service, method: str, path: str, body: bytes) -> None:
    ask(target, method, f"{path}?{VERSION}", body)


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ()):
        yield from _places(item, (*path, key))


PLACES = [(target, path) for target, body in BODIES.items() for path in _places(body) if path]


@RUN
@given(st.sampled_from(["PUT", "PUT", "PATCH"]), st.sampled_from(PLACES), VALUES, st.booleans())
def test_bodies_with_one_odd_value(
    target: Service, method: str, place: tuple[str, tuple[Any, ...]], value: Any, anew: bool
) -> None:
    path, (*keys, last) = place
    body = copy.deepcopy(BODIES[path])
    inner = body
    for key in keys:
        inner = inner[key]
    inner[last] = value
    if anew and path != GROUP:
        ask(target, "DELETE", f"{path}?{VERSION}", None)
    ask(target, method, f"{path}?{VERSION}", json.dumps(openapi.harmless(body)).encode())
