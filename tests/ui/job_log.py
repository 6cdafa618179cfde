"""Jobs for tests of the page: where they write, where their pages are, and their log as a stream tells it."""

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from ui.visitor import Visitor
from wire.api import SUBSCRIPTION, Api


def address(api: Api, job: str, *more: str) -> str:
    """The page of a job."""
    workspace = api.workspace.rpartition("/")[2]
    words = ("subscriptions", SUBSCRIPTION, "groups", "lab", "workspaces", workspace, "experiments", "exp", "jobs", job)
    return "/ui/" + "/".join(quote(word, safe="", errors="surrogateescape") for word in (*words, *more))


def output_folder(api: Api, job: str) -> Path:
    """Where its standard output goes."""
    segment = api.properties(api.job(job))["jobOutputDirectoryPathSegment"]
    return api.service.home / "storage" / api.account / "files" / "share" / segment / "stdouterr"


class Stream:
    """A reader of `.../logs/events`; as a browser it can go on from the last id."""

    def __init__(self, visitor: Visitor, page: str, last_id: str = "", **query: str) -> None:
        self.last_id = last_id
        self._connection = http.client.HTTPConnection(visitor.authority, timeout=20)
        headers = {"cookie": visitor.cookie, "accept": "text/event-stream"}
        if last_id:
            headers["last-event-id"] = last_id
        self._connection.request("GET", f"{page}/logs/events?{urlencode(query)}", headers=headers)
        self.response = self._connection.getresponse()
        assert self.response.status == 200

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *args: object) -> None:
        self._connection.close()

    def events(self) -> Iterator[tuple[str, Any]]:
        """Events with their data until the stream ends."""
        kind, data = "", ""
        for raw in self.response:
            name, _, value = raw.decode("utf-8").rstrip("\n").partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                data = value
            elif name == "id":
                self.last_id = value
            elif not name and kind:
                yield kind, json.loads(data)
                kind = data = ""

    def texts(self, until: str = "") -> list[str]:
        """`FILE: TEXT` of each row, to the end of the log or to a row with a text."""
        found: list[str] = []
        for kind, data in self.events():
            if kind == "end":
                return found
            if kind == "lines":
                found += [f"{chunk['file']}: {text}" for chunk in data for _, text in chunk["rows"]]
            if until and any(until in text for text in found):
                return found
        return found
