"""`maxresults` and `nextLink` (wire.md 1.7): a list longer than `maxresults` is cut and linked on."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

from azext_batchai.service.arm.call import Call
from azext_batchai.service.arm.errors import bad_request
from azext_batchai.service.arm.replies import Reply
from azext_batchai.service.store import Record

SKIP_TOKEN = "$skiptoken"
_MANY = 100  # items, whose projection is worth a thread
Item = TypeVar("Item")


def record_page(
    call: Call, fetch: Callable[[int, int], list[Record]], project: Callable[[Record], dict[str, Any]]
) -> Reply:
    """One page of stored resources; `fetch(after, limit)` reads those created after `after`."""
    limit = call.integer("maxresults", default=1000, minimum=1, maximum=1000)
    records = fetch(call.integer(SKIP_TOKEN, default=0, minimum=0, maximum=2**62), limit + 1)
    page = records[:limit]
    more = str(page[-1].seq) if len(records) > limit else ""
    return _page(call, [project(record) for record in page], more)


def item_page(call: Call, items: Sequence[dict[str, Any]]) -> Reply:
    """One page of a list that is made at each call."""
    limit = call.integer("maxresults", default=1000, minimum=1, maximum=1000)
    start = call.integer(SKIP_TOKEN, default=0, minimum=0, maximum=2**62)
    more = str(start + limit) if len(items) > start + limit else ""
    return _page(call, list(items[start : start + limit]), more)


async def named_page(
    call: Call,
    fetch: Callable[[str, int], Awaitable[list[Item]]],
    name: Callable[[Item], str],
    project: Callable[[Item], dict[str, Any]],
) -> Reply:
    """One page of what is read by name; `fetch(after, limit)` reads those behind `after`."""
    limit = call.integer("maxresults", default=1000, minimum=1, maximum=1000)
    items = await fetch(_decoded(call.query.get(SKIP_TOKEN, "")), limit + 1)
    page = items[:limit]
    more = base64.urlsafe_b64encode(os.fsencode(name(page[-1]))).decode() if len(items) > limit else ""

    def shown() -> list[dict[str, Any]]:
        return [project(item) for item in page]

    # Links are signed, file by file: others have their turn meanwhile.
    return _page(call, await asyncio.to_thread(shown) if len(page) > _MANY else shown(), more)


def _decoded(token: str) -> str:
    try:
        return os.fsdecode(base64.urlsafe_b64decode(token))
    except ValueError:
        raise bad_request(f"'{SKIP_TOKEN}' is not from a nextLink.", SKIP_TOKEN) from None


def _page(call: Call, value: list[dict[str, Any]], more: str) -> Reply:
    body: dict[str, Any] = {"value": value}
    if more:
        body["nextLink"] = f"{call.base_url}{call.raw_path}?{urlencode({**call.query, SKIP_TOKEN: more})}"
    return Reply(200, body)
