"""Storage: the accounts, their shares and containers, and what is in these, a page of names at a time."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote

from starlette.responses import Response

from azext_batchai.service.arm.errors import ArmError
from azext_batchai.service.arm.ids import key_of, parse_path
from azext_batchai.service.storage import content
from azext_batchai.service.storage.faults import StorageFault
from azext_batchai.service.storage.layout import BLOBS, FILES, StorageLayout
from azext_batchai.service.storage.tree import Entry, Tree
from azext_batchai.service.ui import parts, preview
from azext_batchai.service.ui.html import Child, Html, element
from azext_batchai.service.ui.listing import MOST, Name, following, listing
from azext_batchai.service.ui.view import Page, View

_MOST_ACCOUNTS = 100
_MOST_NAMES = 500  # of shares or containers of an account; an overview has fewer
_MOST_LINKS = 8
_MOST_NAME = 200
_TITLES = {FILES: "File shares", BLOBS: "Blob containers"}
_STYLE = "storage.css"
_REFRESHING = "again.js"
_LOOK_SECONDS = 5  # nothing tells of files that change
_MAKING = (("share", "create", "--name", "myshare"), ("container", "create", "--name", "mycontainer"))


async def page(view: View) -> Page:
    """The storage accounts of the subscription by name, with what each has."""
    accounts = [one for one in await _accounts(view) if one["name"] > view.query.get("after", "")]
    shown = accounts[:_MOST_ACCOUNTS]
    names = await asyncio.to_thread(_names_of, view.service.storage, [one["name"] for one in shown], _MOST_LINKS + 1)
    cards = [_card(view, account, names[account["name"]]) for account in shown]
    line = parts.command("local", "connection-string", "-n", "mystorage")
    return Page(
        "Storage",
        element(
            "div",
            element("h1", "Storage"),
            element(
                "section",
                element("ul", cards, class_="cards") if cards else parts.empty("No storage account yet."),
                following(_address(view), shown[-1]["name"]) if len(accounts) > len(shown) else None,
            ),
            parts.section(
                "Make an account",
                element("p", "This makes the account where it is missing, and prints what opens it:", class_="about"),
                line,
            ),
            data_again=_LOOK_SECONDS,
        ),
        (f"/subscriptions/{view.wire.subscription}/resourcegroups/",),
        scripts=(_REFRESHING,),
        styles=(_STYLE,),
    )


async def account_page(view: View) -> Page:
    """One account: its facts, shares and containers."""
    account = await _account(view)
    name, group, properties = account["name"], _group(account), account["properties"]
    names = (await asyncio.to_thread(_names_of, view.service.storage, [name], _MOST_NAMES + 1))[name]
    tables = [
        parts.section(_TITLES[kind], _link_list(view, name, kind, names[kind], _MOST_NAMES)) for kind in (FILES, BLOBS)
    ]
    about = parts.facts(
        (
            ("Resource group", group),
            ("Location", account["location"]),
            ("Kind", f"{account['kind']}, {account['sku']['name']}"),
            ("Made", parts.moment(properties["creationTime"])),
            ("Folder on this machine", element("code", properties["localPath"])),
            ("File endpoint", element("code", properties["primaryEndpoints"]["file"])),
            ("Blob endpoint", element("code", properties["primaryEndpoints"]["blob"])),
        )
    )
    return Page(
        name,
        element("div", element("h1", name), about, *tables, _terminal(account, *_MAKING), data_again=_LOOK_SECONDS),
        (key_of(account["id"]),),
        (("Storage", _address(view)),),
        scripts=(_REFRESHING,),
        styles=(_STYLE,),
    )


async def share_page(view: View) -> Page | Response:
    """What is in a file share, or a file of it."""
    return await _inside(view, FILES)


async def container_page(view: View) -> Page | Response:
    """What is in a blob container, or a file of it."""
    return await _inside(view, BLOBS)


async def _inside(view: View, kind: str) -> Page | Response:
    account = await _account(view)
    name, path = view.names[1], view.tail.rstrip("/")
    folder = view.service.storage.folder(account["name"], kind, name)
    after = unquote(view.query.get("after", ""), errors="surrogateescape")
    try:
        found = await asyncio.to_thread(_look, folder, path, after)
    except StorageFault as fault:
        raise ArmError(fault.status, fault.code, fault.message) from None
    except OSError as exc:  # jobs make folders that nobody may read, or that no path leads to
        there = preview.legible(path or name)[:_MOST_NAME]
        raise ArmError(403, "CannotRead", f"{there} cannot be read: {exc.strerror}.") from None
    if found is None:
        there = f"{preview.legible(path)} in {name}" if path else name
        raise ArmError(404, "ResourceNotFound", f"There is no {there} in {account['name']}.")
    here = _address(view, account["name"], kind, name, *(path.split("/") if path else ()))
    if isinstance(found, list):
        body = listing(here, _listed(found), "There is nothing here.")
        scripts = (_REFRESHING,) if len(found) <= MOST else ()  # a large folder takes long to read
    elif "raw" in view.query:
        return preview.raw(found, path, view.headers)
    else:
        with found:
            head, size = await asyncio.to_thread(lambda: (preview.head_of(found), found.seek(0, 2)))
        body, scripts = preview.preview(path, head, size, f"{here}?raw"), ()
    title = preview.legible(path.rpartition("/")[2] or name)
    lines = _lines(kind, name, path, isinstance(found, list))
    return Page(
        title,
        element(
            "div",
            element("h1", title),
            element("section", body),
            _terminal(account, *lines),
            data_again=_LOOK_SECONDS,
        ),
        (key_of(account["id"]),),
        _trail(view, account["name"], kind, name, path),
        scripts=scripts,
        styles=(_STYLE, preview.STYLE),
    )


def _look(folder: Path, path: str, after: str) -> list[Entry] | BinaryIO | None:
    """What a folder has behind the name `after`, one more than a page; an open file; None. Raises StorageFault."""
    if not folder.is_dir():
        return None
    tree = Tree(folder)
    found = tree.find(path)
    if not found:
        return None
    if found.is_dir():
        return list(islice(tree.entries(found, MOST + 1, lambda key: key > after), MOST + 1))
    return content.open_file(found)


async def _accounts(view: View) -> list[dict[str, Any]]:
    path = view.wire.path("providers", "Microsoft.Storage", "storageAccounts")
    return sorted(await view.wire.all(path), key=lambda account: str(account["name"]))


async def _account(view: View) -> dict[str, Any]:
    """The account that the address names; names are unique over all groups. Raises ArmError 404."""
    for account in await _accounts(view):
        if account["name"] == view.names[0].lower():
            return account
    raise ArmError(404, "ResourceNotFound", f"There is no storage account {view.names[0]}.")


def _group(account: dict[str, Any]) -> str:
    path = parse_path(account["id"])
    assert path
    return path.group


def _names_of(layout: StorageLayout, accounts: Sequence[str], most: int) -> dict[str, dict[str, list[str]]]:
    return {name: {kind: layout.names(name, kind)[:most] for kind in _TITLES} for name in accounts}


def _address(view: View, *words: str) -> str:
    return view.storage_address(*words)


def _card(view: View, account: dict[str, Any], names: dict[str, list[str]]) -> Html:
    name = account["name"]
    facts = [(title, _link_list(view, name, kind, names[kind], _MOST_LINKS)) for kind, title in _TITLES.items()]
    return element(
        "li",
        element("h2", element("a", name, href=_address(view, name))),
        element("p", f"{_group(account)} · {account['kind']} · {account['location']}", class_="about"),
        parts.facts(facts),
        class_="card account",
    )


def _link_list(view: View, account: str, kind: str, names: list[str], most: int) -> Html:
    if not names:
        return parts.empty("none")
    links: list[Child] = [
        element("li", element("a", name, href=_address(view, account, kind, name))) for name in names[:most]
    ]
    if len(names) > most:
        links.append(element("li", element("a", "and more", href=_address(view, account)), class_="more"))
    return element("ul", links, class_="names")


def _listed(entries: list[Entry]) -> list[Name]:
    return [Name(one.name, one.key, one.is_folder, one.status.st_size, one.status.st_mtime) for one in entries]


def _trail(view: View, account: str, kind: str, name: str, path: str) -> tuple[tuple[str, str], ...]:
    above = [name, *path.split("/")][:-1] if path else []
    return (
        ("Storage", _address(view)),
        (account, _address(view, account)),
        *(
            (preview.legible(word), _address(view, account, kind, *above[:number]))
            for number, word in enumerate(above, 1)
        ),
    )


def _terminal(account: dict[str, Any], *lines: tuple[str, ...]) -> Html:
    """How to do it in a terminal."""
    words = ("az", "batchai", "local", "connection-string", "-n", account["name"], "-g", _group(account))
    opened = f'export AZURE_STORAGE_CONNECTION_STRING="$({shlex.join(words)} --query connectionString -o tsv)"'
    return parts.section(
        "In a terminal",
        element("p", "This opens the account to ", element("code", "az storage"), ":", class_="about"),
        parts.copyable(opened),
        [parts.copyable(shlex.join(("az", "storage", *line))) for line in lines],
    )


def _lines(kind: str, name: str, path: str, is_folder: bool) -> tuple[tuple[str, ...], ...]:
    """What `az storage` is told to fetch what is shown, and to put something into a folder; () where it cannot."""
    if preview.legible(path) != path:
        return ()
    last = path.rpartition("/")[2]
    if kind == FILES:
        if not is_folder:
            return (("file", "download", "--share-name", name, "--path", path),)
        fetch = ("file", "download-batch", "--source", name, "--destination", ".")
        put = ("file", "upload-batch", "--destination", f"{name}/{path}" if path else name, "--source", ".")
    else:
        if not is_folder:
            return (("blob", "download", "--container-name", name, "--name", path, "--file", last),)
        fetch = ("blob", "download-batch", "--source", name, "--destination", ".")
        into = ("--destination-path", path) if path else ()
        put = ("blob", "upload-batch", "--destination", name, *into, "--source", ".")
    return (*fetch, *(("--pattern", f"{path}/*") if path else ())), put
