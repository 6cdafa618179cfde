"""Recorded traffic of the real service, without its own ids, names, secrets and times: `recordings.json`.

`stories`: the exchanges of each recording in order. `n` is the number that the exchange has in the recording, or the
first and the last number of exchanges that are all alike; `ask` the request, with SUB and RG as in docs/operations.md;
`send` its body and `body` that of the answer, by name; `now` what is different in it, by property, and added at the end
where it was not there. `headers`: the response headers by kind of answer: 202 (`accepted`), a single resource
(`resource`), and the rest (`other`). What the real service chose stands in braces and is chosen by `load`:

    {time} {second}   a time with milliseconds (trailing zeros trimmed), and one in whole seconds
    {subscription} {group} {account} {key} {user} {password} {public key} {signature} {uuid}   as they say
    {RG}              the path of the provider in the group
    {path} {name}     the path of the request and its last segment
    {operation}       the id of the operation that was accepted last
"""

import copy
import itertools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from facts import tables

STORIES = (
    "manual_scale_scenario",
    "auto_scale_scenario",
    "cluster_with_auto_storage",
    "cluster_with_file_systems",
    "usages",
)
HOST = "https://management.azure.com"
SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
GROUP = "recorded"
ACCOUNT = "bairecorded"
KEY = "c3RvcmFnZSBrZXk="
USER = "trainer"
PASSWORD = "Secret-of-the-cluster"
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAyV7LQ8ZkZ3gkq1mXAgTfX9UWrgJxJcQx1nTzj7jzq9 trainer"
_OURS = {
    "subscription": SUBSCRIPTION,
    "group": GROUP,
    "account": ACCOUNT,
    "key": KEY,
    "user": USER,
    "password": PASSWORD,
    "public key": PUBLIC_KEY,
    "signature": "c2lnbmF0dXJl",
}
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_SCOPES = {
    "RG": "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.BatchAI",
    "SUB": "/subscriptions/{subscription}/providers/Microsoft.BatchAI",
}
# What must not be left: ids, hosts of storage accounts, names and keys that somebody else chose.
FOREIGN = re.compile(rf"{_UUID}|clitest|bai0|DemoUser|ssh-rsa|veryFaked|SCRUBBED|20[12]\d-\d\d-\d\dT")
Exchange = dict[str, Any]


def load(story: str) -> list[Exchange]:
    """The exchanges of a story: n, method, path, query, request_body, status, response_headers, response_body."""
    table = tables.read("recordings")
    return list(_exchanges(table, table["stories"][story]))


# From the table to exchanges.


def _exchanges(table: dict[str, Any], story: list[Any]) -> Iterator[Exchange]:
    numbers = itertools.count(1)
    provider = _filled(_SCOPES["RG"], _OURS, numbers)
    operation = ""
    for entry in story:
        first, last = entry["n"] if isinstance(entry["n"], list) else (entry["n"], entry["n"])
        for n in range(first, last + 1):
            if entry["status"] == 202:
                operation = _uuid(next(numbers))
            method, _, url = entry["ask"].partition(" ")
            path, _, query = _full(url).partition("?")
            path = _filled(path, _OURS | {"operation": operation}, numbers)
            values = _OURS | {"operation": operation, "path": path, "name": path.rpartition("/")[2], "RG": provider}
            answer = _merged(table["answers"][entry["body"]], entry.get("now", {})) if "body" in entry else None
            yield {
                "n": n,
                "method": method,
                "path": path,
                "query": {"api-version": "2018-05-01", **dict(parse_qsl(query))},
                "request_body": _filled(table["requests"][entry["send"]], values, numbers) if "send" in entry else None,
                "status": entry["status"],
                "response_headers": _headers(table["headers"][_kind(entry["status"], answer)], values),
                "response_body": _filled(answer, values, numbers),
            }


def _full(url: str) -> str:
    scope, slash, rest = url.partition("/")
    return f"{_SCOPES[scope]}{slash}{rest}"


def _kind(status: int, answer: Any) -> str:
    return "accepted" if status == 202 else "resource" if isinstance(answer, dict) and "type" in answer else "other"


def _headers(names: list[str], values: dict[str, str]) -> dict[str, str]:
    operations = f"{HOST}{_SCOPES['SUB']}/locations/northeurope/{{}}/{{operation}}?api-version=2018-05-01"
    known = {
        "content-type": "application/json; charset=utf-8",
        "azure-asyncoperation": operations.replace("{}", "operationresults"),
        "location": operations.replace("{}", "operationstatuses"),
        "etag": 'W/"0x8D5"',
    }
    return {name: _filled(known.get(name, "some"), values, itertools.count()) for name in names}


def _filled(value: Any, values: dict[str, str], numbers: Iterator[int]) -> Any:
    """Every placeholder replaced; times and ids go on with `numbers`."""
    if isinstance(value, dict):
        return {name: _filled(item, values, numbers) for name, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, values, numbers) for item in value]
    if not isinstance(value, str):
        return value
    chosen: dict[str, Callable[[int], str]] = {"uuid": _uuid, "time": _time, "second": lambda n: f"{_time(n)[:-5]}Z"}
    pattern = "|".join([*values, *chosen])
    return re.sub(f"{{({pattern})}}", lambda found: values.get(found[1]) or chosen[found[1]](next(numbers)), value)


def _uuid(n: int) -> str:
    return f"{n:08x}-0000-4000-8000-000000000000"


def _time(n: int) -> str:
    return f"2018-06-01T{n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}.125Z"


def _merged(body: Any, changes: Any) -> Any:
    if not isinstance(body, dict) or not isinstance(changes, dict):
        return copy.deepcopy(changes)
    return body | {name: _merged(body.get(name), change) for name, change in changes.items()}


# From recordings to the table.


def derive(folder: Path) -> dict[str, Any]:
    headers: dict[str, set[str]] = {}
    bodies = _Bodies()
    stories = {}
    for story in STORIES:
        lines: list[dict[str, Any]] = []
        bodies.seen.clear()
        operation = ""
        for exchange in json.loads((folder / f"{story}.json").read_text(encoding="utf-8")):
            found = exchange["response_headers"]
            operation = found.get("azure-asyncoperation", operation)
            path, extra = exchange["path"], exchange["query_string"].partition("&")[2]
            words = _Words(exchange, operation.partition("?")[0].rpartition("/")[2])
            url = words(path).replace("{RG}", "RG").replace(_SCOPES["SUB"], "SUB")
            line = {"ask": f"{exchange['method']} {url}" + (f"?{extra}" if extra else "")}
            noun = _noun(path)
            if exchange["request_body"] is not None:
                line["send"] = bodies.request(f"{noun} {exchange['method']}", words(exchange["request_body"]))
            line["status"] = exchange["status"]
            answer = words(exchange["response_body"])
            if answer is not None:
                line |= bodies.answer(noun if exchange["status"] < 400 else f"no {noun}", path, answer)
            kept = sorted(name for name in found if name in _HEADERS)
            assert headers.setdefault(_kind(exchange["status"], answer), set(kept)) == set(kept), (story, exchange["n"])
            assert found.get("content-type", "application/json; charset=utf-8") == "application/json; charset=utf-8"
            if lines and {**lines[-1], "n": 0} == {"n": 0, **line}:
                lines[-1]["n"] = [*_both(lines[-1]["n"])[:1], exchange["n"]]
            else:
                lines.append({"n": exchange["n"], **line})
        stories[story] = lines
    named = {kind: sorted(names) for kind, names in sorted(headers.items())}
    return {"headers": named, "requests": bodies.requests, "answers": bodies.answers, "stories": stories}


# Those that any client reads or a test compares; the others are of the gateway or of the transport.
_HEADERS = {"azure-asyncoperation", "location", "etag", "last-modified", "request-id", "content-type"}


def _both(n: Any) -> list[int]:
    return n if isinstance(n, list) else [n, n]


def _noun(path: str) -> str:
    """`cluster` for a cluster, `clusters` for their list."""
    segments = path.rpartition("/providers/Microsoft.BatchAI/")[2].split("/")
    if len(segments) % 2:
        return segments[-1]
    return "operation" if segments[-2] == "operationresults" else segments[-2].removesuffix("s")


class _Bodies:
    """Bodies by name: each once, or as what is different from one that was there before."""

    def __init__(self) -> None:
        self.requests: dict[str, Any] = {}
        self.answers: dict[str, Any] = {}
        self.seen: dict[str, str] = {}  # path -> name of the body, in the present story

    def request(self, noun: str, body: Any) -> str:
        return self._name(self.requests, noun, body)

    def answer(self, noun: str, path: str, body: Any) -> dict[str, Any]:
        for name in [self.seen.get(path, ""), *self.answers]:
            if name.rstrip(" 0123456789") == noun:
                changes = _changes(self.answers[name], body)
                whole = json.dumps(_merged(self.answers[name], changes)) == json.dumps(body)
                if whole and (not changes or name == self.seen.get(path) or noun in ("operation", "job")):
                    self.seen[path] = name
                    return {"body": name, **({"now": changes} if changes else {})}
        self.seen[path] = self._name(self.answers, noun, body)
        return {"body": self.seen[path]}

    @staticmethod
    def _name(known: dict[str, Any], noun: str, body: Any) -> str:
        for number in itertools.count(1):
            name = noun if number == 1 else f"{noun} {number}"
            if json.dumps(known.setdefault(name, body)) == json.dumps(body):
                return name
        raise AssertionError


def _changes(before: Any, after: Any) -> Any:
    if not isinstance(before, dict) or not isinstance(after, dict):
        return after
    return {
        name: _changes(before[name], item) if name in before else item
        for name, item in after.items()
        if name not in before or before[name] != item
    }


class _Words:
    """Puts placeholders for what the recorded service and its client chose for themselves."""

    def __init__(self, exchange: Exchange, operation: str) -> None:
        self._path = exchange["path"]
        self._operation = operation

    def __call__(self, value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: self(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [self(item) for item in value]
        return self._text(value, key) if isinstance(value, str) else value

    def _text(self, text: str, key: str) -> str:
        name = self._path.rpartition("/")[2]
        of_key = {
            "accountName": "{account}",
            "accountKey": "{key}",
            "adminUserName": "{user}",
            "adminUserPassword": "{password}",
            "adminUserSshPublicKey": "{public key}",
        }
        if key in of_key:
            return of_key[key]
        if key == "id" and text == self._path:
            return "{path}"
        if key == "name" and text == name and "operationresults" not in self._path:
            return "{name}"
        if key == "message":
            return text.replace(f" {name} is", " {name} is")
        text = text.replace(self._operation, "{operation}") if self._operation else text
        text = re.sub(r"/subscriptions/[-0-9a-f]+", "/subscriptions/{subscription}", text)
        text = re.sub(rf"{_UUID}(?=[/$]clitest)", "{subscription}", text)
        text = text.replace("clitest.rg000001", "{group}").replace(_SCOPES["RG"], "{RG}")
        text = text.replace(f"/jobs/{name}/", "/jobs/{name}/")
        text = re.sub(r"(clitest|bai)000002", "{account}", text)
        text = re.sub(r"sig=\w+&se=[^&]+", "sig={signature}&se={second}", text)
        text = re.sub(_UUID, "{uuid}", text)
        if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z", text):
            return "{second}" if key == "lastModified" else "{time}"
        return text
