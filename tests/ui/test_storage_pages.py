"""Storage on the page: accounts, shares and containers, folders a page at a time, files; and nothing else."""

import os
import re
import uuid
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from azext_batchai.service.storage import content
from azext_batchai.service.ui import listing
from harness.service import Service
from ui.looks import looks_right
from ui.visitor import Visitor
from wire import accounts

pytestmark = pytest.mark.invented


@pytest.fixture
def account(service: Service) -> Iterator[accounts.Account]:
    """One with the share `data` and the container `box`."""
    made = accounts.create(service, f"acct{uuid.uuid4().hex[:12]}")
    made.folder("files", "data").mkdir(parents=True)
    made.folder("blobs", "box").mkdir(parents=True)
    yield made
    service.request("DELETE", f"{made.resource}?api-version=2023-01-01")


@pytest.fixture
def data(account: accounts.Account) -> Path:
    return account.folder("files", "data")


def links(text: str) -> dict[str, str]:
    """Addresses by what is written on them, of the whole page."""
    found = re.findall(r'<a [^>]*?href="([^"]*)"[^>]*>(.*?)</a>', text, re.DOTALL)
    return {re.sub("<[^>]*>", "", unescape(words)): unescape(address) for address, words in found}


def test_accounts_with_what_they_have(visitor: Visitor, account: accounts.Account) -> None:
    page = visitor.get("/ui/storage")
    assert account.name in page.shown
    assert "research" in page.shown
    assert links(page.text)["data"] == f"/ui/storage/{account.name}/files/data"
    assert links(page.text)["box"] == f"/ui/storage/{account.name}/blobs/box"
    assert account.keys[0] not in page.text


def test_an_account_tells_how_to_reach_it(visitor: Visitor, account: accounts.Account) -> None:
    page = visitor.get(links(visitor.get("/ui/storage").text)[account.name])
    assert f"az batchai local connection-string -n {account.name} -g research" in page.shown
    assert "az storage share create --name myshare" in page.shown
    assert account.endpoints["file"] in page.shown
    assert str(account.folder("files", "data").parents[1]) in page.shown
    assert [links(page.text)[name].rpartition("/")[2] for name in ("data", "box")] == ["data", "box"]
    assert not any(key in page.text for key in account.keys)


def test_an_account_of_another_subscription(service: Service, visitor: Visitor) -> None:
    other = "/subscriptions/00000000-1111-2222-3333-444444444444"
    resource = f"{other}/resourceGroups/there/providers/Microsoft.Storage/storageAccounts/elsewhere"
    assert service.request("PUT", f"{resource}?api-version=2023-01-01", {"location": "eastus"})[0] == 200
    (service.home / "storage" / "elsewhere" / "files" / "data" / "below").mkdir(parents=True)
    assert "elsewhere" not in visitor.get("/ui/storage").shown
    page = visitor.get(f"/ui{other}/storage/elsewhere/files/data")
    assert links(page.text)["below/"] == f"/ui{other}/storage/elsewhere/files/data/below"
    assert visitor.get("/ui/storage/elsewhere").status == 404


def test_a_folder_leads_to_what_is_in_it_and_back(visitor: Visitor, account: accounts.Account, data: Path) -> None:
    (data / "run 1" / "ä").mkdir(parents=True)
    (data / "run 1" / "ä" / "out.txt").write_text("hello")
    root = f"/ui/storage/{account.name}/files/data"
    page = visitor.get(root)
    page = visitor.get(links(page.text)["run 1/"])
    page = visitor.get(links(page.text)["ä/"])
    assert "out.txt" in page.shown
    assert "5 B" in page.shown
    assert "az storage file download-batch --source data --destination . --pattern 'run 1/ä/*'" in page.shown
    assert "az storage file upload-batch --destination 'data/run 1/ä' --source ." in page.shown
    assert links(page.text)["run 1"] == f"{root}/run%201"
    assert links(page.text)["data"] == root
    page = visitor.get(links(page.text)["out.txt"])
    assert "hello" in page.shown
    assert "az storage file download --share-name data --path 'run 1/ä/out.txt'" in page.shown


def test_a_container_has_lines_of_its_own(visitor: Visitor, account: accounts.Account) -> None:
    folder = account.folder("blobs", "box") / "a"
    folder.mkdir()
    (folder / "b").write_text("x")
    root = f"/ui/storage/{account.name}/blobs/box"
    page = visitor.get(f"{root}/a").shown
    assert "az storage blob download-batch --source box --destination . --pattern 'a/*'" in page
    assert "az storage blob upload-batch --destination box --destination-path a --source ." in page
    assert "az storage blob download --container-name box --name a/b --file b" in visitor.get(f"{root}/a/b").shown


def test_a_folder_is_shown_a_page_at_a_time(visitor: Visitor, account: accounts.Account, data: Path) -> None:
    names = [f"part-{number:03}" for number in range(450)]
    for name in names:
        (data / name).touch()
    found: list[str] = []
    address: str | None = f"/ui/storage/{account.name}/files/data"
    sizes = []
    while address:
        page = visitor.get(address)
        shown = re.findall(r"<bdi>(.*?)</bdi>", page.text)
        sizes.append(len(shown))
        found += shown
        address = links(page.text).get("Next page")
    assert found == names
    assert sizes == [200, 200, 50]


def test_content_is_handed_out_as_it_is(visitor: Visitor, account: accounts.Account, data: Path) -> None:
    (data / "page.html").write_text("<script>alert(1)</script>")
    address = f"/ui/storage/{account.name}/files/data/page.html"
    assert "<script>alert" not in visitor.get(address).text
    raw = visitor.get(links(visitor.get(address).text)["Open the file itself"])
    assert raw.content == b"<script>alert(1)</script>"
    assert raw.headers["content-type"] == "text/plain; charset=utf-8"
    assert "sandbox" in raw.headers["content-security-policy"]
    part = visitor.get(f"{address}?raw", range="bytes=1-6")
    assert (part.status, part.content) == (206, b"script")


@pytest.mark.parametrize(
    "name", [b"\xff\xfe bytes", b"new\nline", b"<b>&\"'", "\u202egnp.exe".encode(), b"?#%2F;", b" "]
)
def test_every_name_can_be_opened(visitor: Visitor, account: accounts.Account, data: Path, name: bytes) -> None:
    Path(os.fsdecode(os.fsencode(data) + b"/" + name)).write_text("found it")
    page = visitor.get(f"/ui/storage/{account.name}/files/data")
    [(words, address)] = [
        (words, address)
        for words, address in links(page.text).items()
        if address.startswith(f"/ui/storage/{account.name}/files/data/")
    ]
    assert "<b>" not in page.text
    assert not set(words) & set("\n\u202e")
    shown = visitor.get(address)
    assert "found it" in shown.shown
    assert visitor.get(links(shown.text)["Open the file itself"]).content == b"found it"


def test_a_name_that_no_terminal_can_write_has_no_line(
    visitor: Visitor, account: accounts.Account, data: Path
) -> None:
    Path(os.fsdecode(os.fsencode(data) + b"/\xff")).touch()
    assert "az storage file" not in visitor.get(f"/ui/storage/{account.name}/files/data/%FF").shown


def test_a_file_of_any_time(visitor: Visitor, account: accounts.Account, data: Path) -> None:
    (data / "old").touch()
    os.utime(data / "old", (-1e9, -1e9))
    (data / "future").touch()
    os.utime(data / "future", (1e13, 1e13))  # as far as the file system goes
    assert "future" in visitor.get(f"/ui/storage/{account.name}/files/data").shown
    assert visitor.get(f"/ui/storage/{account.name}/files/data/future?raw").status == 200
    assert visitor.get(f"/ui/storage/{account.name}/files/data/old?raw").status == 200


def test_a_time_that_has_no_date() -> None:
    """Some file systems have them."""
    status: Any = SimpleNamespace(st_mtime=1e13, st_mtime_ns=10**22, st_ino=1, st_size=1)
    assert content.identity(status)["last-modified"] == "Fri, 31 Dec 9999 23:59:59 GMT"
    assert listing.changed(1e13) is None


def test_no_link_leads_out(visitor: Visitor, account: accounts.Account, data: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("not for you")
    (data / "file").symlink_to(tmp_path / "secret")
    (data / "folder").symlink_to(tmp_path)
    (data / "itself").symlink_to("itself")
    (data / "real").mkdir()
    (data / "inside").symlink_to("real")
    os.mkfifo(data / "pipe")
    root = f"/ui/storage/{account.name}/files/data"
    page = visitor.get(root)
    assert re.findall(r"<bdi>(.*?)</bdi>", page.text) == ["inside/", "real/"]
    for path in ("file", "folder/secret", "folder", "itself", "file?raw", "pipe", "pipe?raw"):
        answer = visitor.get(f"{root}/{path}")
        assert answer.status == 404, path
        assert b"not for you" not in answer.content


@pytest.mark.parametrize(
    "path", ["..", "%2E%2E/%2E%2E", "%2E%2E%2Fbox", "a%00b", "../../../service.json", "x/../../data", "//x", "%ff/.."]
)
def test_no_name_leads_out(visitor: Visitor, account: accounts.Account, path: str) -> None:
    assert visitor.get(f"/ui/storage/{account.name}/files/data/{path}").status in (400, 404)


def test_what_the_system_refuses_is_told(visitor: Visitor, account: accounts.Account) -> None:
    answer = visitor.get(f"/ui/storage/{account.name}/files/data/{'/'.join(['x' * 100] * 60)}")
    assert answer.status == 403
    assert "File name too long" in answer.shown


def test_what_is_being_uploaded_is_not_shown(visitor: Visitor, account: accounts.Account, data: Path) -> None:
    (data / ".az-upload-1").touch()
    assert "There is nothing here." in visitor.get(f"/ui/storage/{account.name}/files/data").shown
    assert visitor.get(f"/ui/storage/{account.name}/files/data/.az-upload-1").status == 400


def test_only_shares_and_containers_of_accounts_are_shown(
    visitor: Visitor, account: accounts.Account, service: Service
) -> None:
    for folder in ("fileservers/nfs1/data", "nodes/node1/mounts/data", "kept/job1/data"):
        (service.home / folder).mkdir(parents=True)
        (service.home / folder / "secret").write_text("not for you")
    (account.folder("files", "data").parents[1] / "kept" / "data").mkdir(parents=True)
    for path in (
        "nfs1/nfs/data/secret",
        "nfs1/files/data/secret",
        "node1/unmanaged/data/secret",
        "job1/kept/data/secret",
        f"{account.name}/nfs/data",
        f"{account.name}/unmanaged/data",
        f"{account.name}/kept/data",
        f"{account.name}/files/UPPER",
        f"{account.name}/files/..",
        f"{account.name}/files/none",
        f"{account.name}/files",
        "%2E%2E/files/data",
        "none",
        "%FF",
    ):
        answer = visitor.get(f"/ui/storage/{path}")
        assert answer.status in (400, 404), path
        assert b"not for you" not in answer.content


def test_an_account_that_is_gone(service: Service, visitor: Visitor, account: accounts.Account) -> None:
    service.request("DELETE", f"{account.resource}?api-version=2023-01-01")
    assert account.name not in visitor.get("/ui/storage").shown
    assert visitor.get(f"/ui/storage/{account.name}/files/data").status == 404


def test_without_accounts_the_page_says_how_to_get_one(visitor: Visitor) -> None:
    page = visitor.get("/ui/subscriptions/00000000-9999-2222-3333-444444444444/storage")
    assert "No storage account yet." in page.shown
    assert "az batchai local connection-string -n mystorage" in page.shown


# The account comes before the page, so that it goes after it.
def test_files_that_come_are_shown_without_a_reload(
    account: accounts.Account, data: Path, signed_in: tuple[Any, str]
) -> None:
    page, base = signed_in
    page.goto(f"{base}/ui/storage/{account.name}/files/data")
    page.wait_for_selector("#live[data-state=live]")
    (data / "new.txt").touch()
    page.get_by_role("link", name="new.txt").wait_for()


def test_pictures_and_tables_look_right(account: accounts.Account, data: Path, signed_in: tuple[Any, str]) -> None:
    page, base = signed_in
    (data / "plot.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="90" height="40"><rect width="9" height="9" style="fill:red"/>'
        "</svg>"
    )
    (data / "long-name-without-any-space-in-it-which-has-to-be-broken-somewhere-in-a-narrow-window.csv").write_text(
        "step,loss\n" + "1,0.123456789012345678\n" * 90
    )
    (data / "log.txt").write_text("a line that is much longer than a narrow window is wide, over and over\n" * 90)
    root = f"{base}/ui/storage/{account.name}/files/data"
    pages = {"account": root.removesuffix("/files/data"), "folder": root, "svg": f"{root}/plot.svg"}
    for name, address in {**pages, "text": f"{root}/log.txt"}.items():
        page.goto(address)
        page.wait_for_selector("#live[data-state=live]")
        looks_right(page, f"storage-{name}")
    page.goto(f"{root}/plot.svg")
    assert page.evaluate("document.querySelector('img.preview').naturalWidth") == 90
    page.goto(root)
    page.get_by_role("link", name="long-name").click()
    page.get_by_role("cell", name="0.123456789012345678").first.wait_for()
    looks_right(page, "storage-table")
    page.goto(f"{base}/ui/storage")
    looks_right(page, "storage")
