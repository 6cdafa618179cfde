"""Signed download links: they name one file, expire, and need no other credential (wire.md 1.4 listOutputFiles)."""

from __future__ import annotations

import hashlib
import hmac
from datetime import timedelta
from urllib.parse import quote

from azext_batchai.service.clock import parse_wire_time, utc_now
from azext_batchai.service.storage.layout import FILES

PREFIX = "/_files"
SERVICE_VERSION = "2018-03-28"


class LinkSigner:
    """Signs and checks links under one key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def link(self, base_url: str, service: str, path: str, minutes: int) -> str:
        """A link to `path` (`account/files/share/...`) that is good for `minutes`."""
        expiry = (utc_now() + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
        kind, signature = "f" if service == FILES else "b", self._signature(path, expiry)
        query = f"sv={SERVICE_VERSION}&sr={kind}&sig={signature}&se={quote(expiry, safe='')}&sp=rl"
        return f"{base_url}{PREFIX}/{quote(path, errors='surrogateescape')}?{query}"

    def refusal(self, path: str, expiry: str, signature: str) -> str:
        """Why a link is refused, or '' where it is good."""
        # As bytes: text that is not ASCII is not compared but raised about.
        given = signature.encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, self._signature(path, expiry).encode()):
            return "The signature of this link is not valid."
        return "" if parse_wire_time(expiry) > utc_now() else f"This link expired at {expiry}."

    def _signature(self, path: str, expiry: str) -> str:
        return hmac.new(self._key, f"{path}\n{expiry}".encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()
