"""Access tokens of the local cloud: signed JSON Web Tokens that only one state folder issues and accepts."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any
from urllib.parse import urlsplit

from azext_batchai.service import hosts
from azext_batchai.service.clock import epoch

LIFE_SECONDS = 24 * 3600 - 1
_HEADER = {"alg": "HS256", "typ": "JWT"}
# For whom a token may be made out, as clients write Azure's own names too.
_RESOURCE_MANAGER = {hosts.RESOURCE_MANAGER, "management.azure.com", "management.core.windows.net", *hosts.LOOPBACK}
_STORAGE = {"storage.azure.com", f".{hosts.STORAGE_SUFFIX}", ".core.windows.net"}


class Tokens:
    """Issues and checks tokens under one key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def issue(self, audience: str, tenant: str, client: str) -> str:
        now = int(epoch())
        claims = {
            "aud": audience,
            "iss": f"https://{hosts.LOGIN}/{tenant}/v2.0",
            "tid": tenant,
            "oid": client,
            "sub": client,
            "appid": client,
            "idtyp": "app",
            "iat": now,
            "nbf": now,
            "exp": now + LIFE_SECONDS,
        }
        signed = ".".join(_encoded(json.dumps(part, separators=(",", ":")).encode()) for part in (_HEADER, claims))
        return f"{signed}.{self._signature(signed)}"

    def is_for_resource_manager(self, token: str) -> bool:
        """Whether the token is one of this state folder, still good, and made out for Resource Manager."""
        return urlsplit(self._audience(token)).hostname in _RESOURCE_MANAGER

    def is_for_storage(self, token: str) -> bool:
        """The same for the data of storage accounts."""
        host = urlsplit(self._audience(token)).hostname or ""
        return any(host == name or (name.startswith(".") and host.endswith(name)) for name in _STORAGE)

    def holder(self, token: str) -> tuple[str, str]:
        """Object and tenant of who has a token that was found good."""
        claims: dict[str, Any] = json.loads(_decoded(token.split(".")[1]))
        return str(claims["oid"]), str(claims["tid"])

    def _audience(self, token: str) -> str:
        signed, _, signature = token.rpartition(".")
        if not hmac.compare_digest(signature.encode("utf-8", "replace"), self._signature(signed).encode()):
            return ""
        # Nobody else can have written the rest.
        claims: dict[str, Any] = json.loads(_decoded(signed.partition(".")[2]))
        return str(claims["aud"]) if claims["nbf"] - 60 <= epoch() < claims["exp"] else ""

    def _signature(self, text: str) -> str:
        return _encoded(hmac.new(self._key, text.encode("utf-8", "replace"), hashlib.sha256).digest())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
