"""Who may look: a code that is good once becomes a session, which is a cookie here and nothing on disk."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from azext_batchai.service.clock import monotonic

CODE_SECONDS = 600.0
_MOST_CODES = 16
_MOST_SESSIONS = 64
_OPENER = "ui.html"  # a page in the state folder that leads to the address with the code


@dataclass(frozen=True)
class Session:
    """One browser. `anti_forgery` stands in each of its forms and nowhere else."""

    anti_forgery: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    def wrote(self, token: str) -> bool:
        """Whether a form with this token is one of the session's own."""
        return hmac.compare_digest(token.encode("utf-8", "replace"), self.anti_forgery.encode())


class Sessions:
    """The codes and sessions of one run of the service; they end with it."""

    def __init__(self, key: bytes, home: Path) -> None:
        # Cookies know no ports: services of other folders have other names for theirs.
        self.cookie = f"batchai_{hashlib.sha256(key).hexdigest()[:12]}"
        self._opener = home / _OPENER
        self._codes: dict[str, float] = {}  # code -> until when it is good
        self._sessions: dict[str, Session] = {}  # digest of the cookie's value -> session

    def new_code(self) -> str:
        """A code that is good once, for CODE_SECONDS."""
        self._forget_old()
        while len(self._codes) >= _MOST_CODES:
            del self._codes[next(iter(self._codes))]
        code = secrets.token_urlsafe(32)
        self._codes[code] = monotonic() + CODE_SECONDS
        return code

    def write_opener(self, address: str) -> Path:
        """A private file that leads a browser to the address, which `ps` would show otherwise. Raises OSError."""
        self._opener.unlink(missing_ok=True)
        self._opener.touch(mode=0o600)
        page = f'<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url={address}">'
        self._opener.write_text(page, encoding="utf-8")
        return self._opener

    def redeem(self, code: str) -> str | None:
        """The value of a new session's cookie; None where the code is not, or no longer, good."""
        self._forget_old()
        if self._codes.pop(code, None) is None:
            return None
        self._forget_opener()
        while len(self._sessions) >= _MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        value = secrets.token_urlsafe(32)
        self._sessions[_digest(value)] = Session()
        return value

    def find(self, value: str) -> Session | None:
        return self._sessions.get(_digest(value))

    def revoke(self) -> int:
        """End all sessions and codes; how many sessions there were."""
        number = len(self._sessions)
        self._codes.clear()
        self._sessions.clear()
        self._forget_opener()
        return number

    def _forget_opener(self) -> None:
        with suppress(OSError):  # its code is no good any more
            self._opener.unlink(missing_ok=True)

    def _forget_old(self) -> None:
        now = monotonic()
        for code in [code for code, until in self._codes.items() if until <= now]:
            del self._codes[code]


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode("utf-8", "replace")).hexdigest()
