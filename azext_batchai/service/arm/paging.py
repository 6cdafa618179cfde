"""`maxresults` and `nextLink` (wire.md 1.7): a list longer than `maxresults` is cut and linked on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlencode

from azext_batchai.service.arm.call import Call
from azext_batchai.service.arm.replies import Reply
from azext_batchai.service.store import Record

SKIP_TOKEN = "$skiptoken"


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


def _page(call: Call, value: list[dict[str, Any]], more: str) -> Reply:
    body: dict[str, Any] = {"value": value}
    if more:
        body["nextLink"] = f"{call.base_url}{call.raw_path}?{urlencode({**call.query, SKIP_TOKEN: more})}"
    return Reply(200, body)
