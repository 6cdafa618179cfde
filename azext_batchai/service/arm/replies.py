"""What a handler hands back; `app` turns it into an HTTP response."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from azext_batchai.service.clock import http_date
from azext_batchai.service.store import Record


@dataclass
class Reply:
    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


def resource(record: Record, body: dict[str, Any], status: int = 200) -> Reply:
    """A single resource with its validators (wire.md 1.0: etag and last-modified)."""
    return Reply(status, body, {"etag": f'W/"0x{record.version:015X}"', "last-modified": http_date(record.modified)})


def advise(reply: Reply, advice: str) -> Reply:
    """Say something that is no failure (RFC 7234 Warning; our extension shows it); '' is nothing."""
    if advice:
        text = advice.encode("ascii", "replace").decode().replace("\\", "/").replace('"', "'")
        reply.headers["Warning"] = f'199 batchai "{" ".join(text.split())}"'
    return reply


def empty(status: int = 200) -> Reply:
    return Reply(status)
