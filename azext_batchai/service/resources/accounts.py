"""`userAccountSettings`: who may log in to nodes and file servers."""

from __future__ import annotations

from typing import Any

from azext_batchai.service.arm.errors import bad_request
from azext_batchai.service.arm.schema import Cleaned, Field, Object, String
from azext_batchai.service.secrets_vault import hash_password

USER_ACCOUNT = Object(
    {
        "adminUserName": Field(String(r"[A-Za-z_][-\w.]*", minimum=1, maximum=64), required=True),
        "adminUserSshPublicKey": Field(String(minimum=1)),
        "adminUserPassword": Field(String(minimum=1, maximum=1024), secret=True),
    }
)


def take_login(cleaned: Cleaned, path: str, settings: dict[str, Any]) -> dict[str, Any]:
    """What is kept of an account: the password only as a hash. Raises ArmError where nobody could log in."""
    password = cleaned.secrets.get(f"{path}.adminUserPassword")
    if not password and not settings.get("adminUserSshPublicKey"):
        raise bad_request(f"'{path}' must have adminUserSshPublicKey, adminUserPassword or both.", path)
    return {"passwordHash": hash_password(password)} if password else {}
