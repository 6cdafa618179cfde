"""az batchai cluster file list: the storage account is asked over its REST API, signed as documented for it."""

import base64
import hashlib
import hmac
from urllib.parse import parse_qsl, urlsplit

import pytest

from extension.jobs import CLUSTER
from extension.scripted import SUBSCRIPTION, Answer, Request

pytestmark = pytest.mark.documented

KEY = base64.b64encode(b"k" * 64).decode()
SUFFIX = "s/g/workspaces/w/clusters/c/uuid"
LIST = ("batchai", "cluster", "file", "list", "-g", "g", "-w", "w", "-c", "c")
ACCOUNTS = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Storage/storageAccounts"
ACCOUNT = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/stores/providers/Microsoft.Storage/storageAccounts/acct"
SHARE = {"accountName": "acct", "azureFileUrl": "https://acct.file.core.windows.net/share", "relativeMountPath": "afs"}
CONTAINER = {"accountName": "acct", "containerName": "box", "relativeMountPath": "bfs"}
FILES = f"""<?xml version="1.0" encoding="utf-8"?>
<EnumerationResults ShareName="share" DirectoryPath="{SUFFIX}"><Entries>
<File><Name>stdout-tvm-1.txt</Name><Properties><Content-Length>3</Content-Length></Properties></File>
<File><Name>empty ü.txt</Name><Properties><Content-Length>0</Content-Length></Properties></File>
<Directory><Name>logs</Name></Directory></Entries><NextMarker>%s</NextMarker></EnumerationResults>"""
BLOBS = f"""<?xml version="1.0" encoding="utf-8"?>
<EnumerationResults ContainerName="box"><Blobs>
<BlobPrefix><Name>{SUFFIX}/logs/</Name></BlobPrefix>
<Blob><Name>{SUFFIX}/logs</Name><Properties><Content-Length>0</Content-Length></Properties></Blob>
<Blob><Name>{SUFFIX}/stdout-tvm-1.txt</Name><Properties><Content-Length>3</Content-Length></Properties></Blob>
</Blobs><NextMarker /></EnumerationResults>"""


@pytest.fixture
def cluster(server):
    """`cluster(prefix, azureFileShares=[...])`: the cluster with a setup task whose output goes to `prefix`."""

    def put(prefix: str, **volumes: list) -> None:
        task = {"commandLine": "true", "stdOutErrPathPrefix": prefix, "stdOutErrPathSuffix": SUFFIX}
        setup = {"setupTask": task, **({"mountVolumes": volumes} if volumes else {})}
        server.on("GET", CLUSTER, Answer(200, {"id": CLUSTER, "name": "c", "properties": {"nodeSetup": setup}}))

    return put


@pytest.fixture
def account(server):
    """The storage account; its files and blobs are at the same server, as the embedded service has them."""
    endpoints = dict.fromkeys(("file", "blob"), f"{server.url}/acct/")
    found = {"name": "acct", "id": ACCOUNT, "properties": {"primaryEndpoints": endpoints}}
    server.on("GET", ACCOUNTS, Answer(200, {"value": [found]}))
    server.on("GET", ACCOUNT, Answer(200, found))
    server.on("POST", f"{ACCOUNT}/listKeys", Answer(200, {"keys": [{"keyName": "key1", "value": KEY}]}))


def serve(server, path: str, *answers: Answer) -> list[Request]:
    """Answer requests for a path of the storage account, whose signature must be right; return them."""
    requests: list[Request] = []
    left = list(answers)

    def answer(request: Request) -> Answer:
        requests.append(request)
        parameters = "".join(f"\n{name}:{value}" for name, value in sorted(request.query.items()))
        headers = "".join(f"{name}:{request.headers[name]}\n" for name in ("x-ms-date", "x-ms-version"))
        text = "GET" + "\n" * 12 + headers + f"/acct{request.path}{parameters}"
        assert request.headers["authorization"] == f"SharedKey acct:{sign(text)}"
        return left.pop(0)

    server.open_paths.add(path)
    server.on("GET", path, answer)
    return requests


def sign(text: str) -> str:
    digest = hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


@pytest.mark.parametrize(
    ("prefix", "path", "folder"),
    [
        ("$AZ_BATCHAI_MOUNT_ROOT/afs", (), SUFFIX),
        ("$AZ_BATCHAI_MOUNT_ROOT/afs/", ("-p", "."), SUFFIX),
        ("$AZ_BATCHAI_MOUNT_ROOT/afs/setup/out", (), f"setup/out/{SUFFIX}"),
        ("$AZ_BATCHAI_MOUNT_ROOT/afs", ("-p", "logs/x"), f"{SUFFIX}/logs/x"),
    ],
)
def test_share(az, server, cluster, account, prefix, path, folder):
    cluster(prefix, azureFileShares=[{**SHARE, "relativeMountPath": "af"}, SHARE])
    requests = serve(server, f"/acct/share/{folder}", Answer(200, (FILES % "").encode("utf-8-sig")))
    done = az(*LIST, *path)
    assert done.code == 0, done.stderr
    assert requests[0].query == {"restype": "directory", "comp": "list"}
    assert [(item["name"], item["is_directory"], item["size"]) for item in done.result] == [
        ("empty ü.txt", False, 0),
        ("logs", True, None),
        ("stdout-tvm-1.txt", False, 3),
    ]
    assert [bool(item["download_url"]) for item in done.result] == [True, False, True]


def test_link_of_a_file(az, server, cluster, account):
    cluster("$AZ_BATCHAI_MOUNT_ROOT/afs", azureFileShares=[SHARE])
    serve(server, f"/acct/share/{SUFFIX}", Answer(200, (FILES % "").encode()))
    url = urlsplit(az(*LIST, "--expiry", "30").result[0]["download_url"])
    assert f"{url.scheme}://{url.netloc}{url.path}" == f"{server.url}/acct/share/{SUFFIX}/empty%20%C3%BC.txt"
    fields = dict(parse_qsl(url.query))
    assert (fields["sr"], fields["sp"]) == ("f", "r")
    resource = f"/file/acct/share/{SUFFIX}/empty ü.txt"
    text = f"r\n\n{fields['se']}\n{resource}\n\n\n\n{fields['sv']}\n\n\n\n\n"
    assert fields["sig"] == sign(text)


def test_container(az, server, cluster, account):
    cluster("$AZ_BATCHAI_MOUNT_ROOT/bfs", azureBlobFileSystems=[CONTAINER])
    requests = serve(server, "/acct/box", Answer(200, BLOBS.encode()))
    done = az(*LIST)
    assert done.code == 0, done.stderr
    assert requests[0].query == {"restype": "container", "comp": "list", "delimiter": "/", "prefix": f"{SUFFIX}/"}
    assert [(item["name"], item["is_directory"], item["size"]) for item in done.result] == [
        ("logs", True, None),
        ("stdout-tvm-1.txt", False, 3),
    ]
    url = urlsplit(done.result[1]["download_url"])
    fields = dict(parse_qsl(url.query))
    resource = f"/blob/acct/box/{SUFFIX}/stdout-tvm-1.txt"
    assert fields["sig"] == sign(f"r\n\n{fields['se']}\n{resource}\n\n\n\n{fields['sv']}\nb\n\n\n\n\n\n")


def test_pages(az, server, cluster, account):
    cluster("$AZ_BATCHAI_MOUNT_ROOT/afs", azureFileShares=[SHARE])
    last = b"<EnumerationResults><Entries><File><Name>z</Name></File></Entries></EnumerationResults>"
    requests = serve(server, f"/acct/share/{SUFFIX}", Answer(200, (FILES % "m 1").encode()), Answer(200, last))
    assert len(az(*LIST).result) == 4
    assert requests[1].query["marker"] == "m 1"


def test_table(az, server, cluster, account):
    cluster("$AZ_BATCHAI_MOUNT_ROOT/afs", azureFileShares=[SHARE])
    serve(server, f"/acct/share/{SUFFIX}", Answer(200, (FILES % "").encode()))
    lines = az(*LIST, "-o", "table").output.splitlines()
    assert lines[0].split("  ")[0] == "Name"
    assert lines[2].split() == ["empty", "ü.txt", "no", "0"]
    assert lines[3].split() == ["logs", "yes"]


def test_nothing_written_yet(az, server, cluster, account):
    cluster("$AZ_BATCHAI_MOUNT_ROOT/afs", azureFileShares=[SHARE])
    error = b"<Error><Code>ResourceNotFound</Code><Message>m</Message></Error>"
    serve(server, f"/acct/share/{SUFFIX}", Answer(404, error))
    assert az(*LIST).result == []


@pytest.mark.parametrize("content", [b"<Error><Code>AuthorizationFailure</Code></Error>", b"not xml"])
def test_refused_by_the_account(az, server, cluster, account, content):
    cluster("$AZ_BATCHAI_MOUNT_ROOT/afs", azureFileShares=[SHARE])
    serve(server, f"/acct/share/{SUFFIX}", Answer(403, content))
    done = az(*LIST)
    assert done.code == 1
    assert done.stderr.startswith("ERROR: The storage account acct answered 403 ")
    assert KEY not in done.stderr


def test_no_setup_task(az, server):
    server.expect("GET", CLUSTER, Answer(200, {"id": CLUSTER, "name": "c", "properties": {}}))
    assert az(*LIST).result == []


@pytest.mark.parametrize(
    ("prefix", "path"),
    [
        ("/mnt/elsewhere", "."),
        ("$AZ_BATCHAI_MOUNT_ROOT/afsx", "."),
        ("$AZ_BATCHAI_MOUNT_ROOT/afs", "../secret"),
        ("$AZ_BATCHAI_MOUNT_ROOT/afs", "/etc"),
    ],
)
def test_not_below_a_mount(az, server, cluster, prefix, path):
    cluster(prefix, azureFileShares=[SHARE])
    done = az(*LIST, "-p", path)
    assert done.code == 1
    assert "setup task" in done.stderr
    assert [request.path for request in server.requests] == [CLUSTER]


def test_no_mounts(az, server, cluster):
    cluster("$AZ_BATCHAI_NODE_LOG_DIR")
    done = az(*LIST)
    assert done.code == 1
    assert "--setup-task-output" in done.stderr


class TestExpiry:
    """Given on a command line it is a text to the old module, which takes it for a number."""

    def test_old(self, builtin, monkeypatch):
        class Fake:
            url = "https://acct.file.core.windows.net/share"

            def __init__(self, *_: object, **__: object) -> None:
                pass

            def list_directories_and_files(self, **_: object):
                from types import SimpleNamespace

                return [SimpleNamespace(name="f", is_directory=False)]

            def generate_file(self, *_: object, **__: object) -> str:
                return "sig"

        monkeypatch.setattr(builtin.code, "get_sdk", lambda *_: Fake)
        monkeypatch.setattr(builtin.code, "_get_storage_account_key", lambda *_: KEY)
        from azure.mgmt.batchai.models import AzureFileShareReference

        share = AzureFileShareReference(
            account_name="acct",
            azure_file_url=SHARE["azureFileUrl"],
            credentials=None,
            relative_mount_path="afs",
        )
        with pytest.raises(TypeError):
            builtin.code._get_files_from_afs(None, share, "folder", "30")

    @pytest.mark.parametrize("minutes", ["5", "600"])
    def test_now(self, az, server, cluster, account, minutes):
        cluster("$AZ_BATCHAI_MOUNT_ROOT/afs", azureFileShares=[SHARE])
        serve(server, f"/acct/share/{SUFFIX}", Answer(200, (FILES % "").encode()))
        done = az(*LIST, "--expiry", minutes)
        assert done.code == 0, done.stderr
        assert "se=" in done.result[0]["download_url"]
