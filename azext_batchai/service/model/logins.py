"""Who may log in to nodes and file servers, from `userAccountSettings` and what is kept beside them."""

from __future__ import annotations

from typing import Any

from azext_batchai.service.engine.base import Login


def login_of(settings: dict[str, Any], kept: dict[str, Any]) -> Login:
    """`kept` has the password's hash, where there is one."""
    key = settings.get("adminUserSshPublicKey")
    return Login(settings["adminUserName"], (key,) if key else (), kept.get("passwordHash"))
