"""The administrator's account on nodes and file servers: name, SSH key, password."""

from __future__ import annotations

import base64
import binascii
import struct
from pathlib import Path
from typing import Any

from knack.log import get_logger

logger = get_logger(__name__)

PASSWORD_VARIABLE = "AZURE_BATCHAI_PASSWORD"
_PUBLIC_KEY = Path("~/.ssh/id_rsa.pub")


def complete(
    settings: Any, name: str | None, ssh_key: str | None, password: str | None, make_missing_key: bool = False
) -> Any:
    """The SDK UserAccountSettings made of the flags, else of `settings` (from a configuration file, or None).

    The current user's name is the default; ~/.ssh/id_rsa.pub is the default key where no password is set, made
    with `make_missing_key` where there is none.
    """
    from azure.mgmt.batchai import models

    settings = settings or models.UserAccountSettings(admin_user_name=None)
    settings.admin_user_password = password or settings.admin_user_password
    key = ssh_key or settings.admin_user_ssh_public_key
    if not key and not settings.admin_user_password:
        key = str(_PUBLIC_KEY) if _PUBLIC_KEY.expanduser().exists() else None
        if not key and make_missing_key:
            logger.warning(
                "There was no SSH key, password or %s: generated the keys, as --generate-ssh-keys does.", _PUBLIC_KEY
            )
            key = generate_keys()
    settings.admin_user_ssh_public_key = public_key(key) if key else None
    if not settings.admin_user_ssh_public_key and not settings.admin_user_password:
        from azure.cli.core.azclierror import RequiredArgumentMissingError

        raise RequiredArgumentMissingError(
            f"Nobody could log in: there is no SSH key, no password, and no {_PUBLIC_KEY} to use by default.",
            recommendation="Add --generate-ssh-keys, or give --ssh-key or --password.",
        )
    settings.admin_user_name = name or settings.admin_user_name or _current_user()
    return settings


def generate_keys() -> str:
    """Make ~/.ssh/id_rsa and id_rsa.pub unless they are there; returns the path of the public key."""
    from azure.cli.core.azclierror import FileOperationError
    from azure.cli.core.keys import generate_ssh_keys

    public = _PUBLIC_KEY.expanduser()
    try:
        generate_ssh_keys(str(public.with_suffix("")), str(public))
    except (OSError, ValueError, TypeError) as error:
        raise FileOperationError(
            f"The SSH keys in {public.parent} cannot be generated or read: {error}",
            recommendation="Give another key with --ssh-key, or a --password.",
        ) from error
    return str(public)


def public_key(value_or_path: str) -> str:
    """The OpenSSH public key that is, or is in the file at, `value_or_path`."""
    from azure.cli.core.azclierror import FileOperationError, InvalidArgumentValueError

    text = value_or_path
    file = Path(value_or_path).expanduser()
    if not _is_public_key(text) and _is_file(file):
        try:
            text = file.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise FileOperationError(f"The SSH public key {file} cannot be read: {error}") from error
    if not _is_public_key(text):
        raise InvalidArgumentValueError(
            f"'{value_or_path[:60]}' is neither an SSH public key nor a file with one.",
            recommendation="Give the public half of the key (ssh-rsa AAAA...), usually the file that ends in .pub.",
        )
    return text.strip()


def _is_public_key(text: str) -> bool:
    """Whether this is `TYPE BASE64 [COMMENT]` with the type repeated inside of the base64 (RFC 4253, 6.6)."""
    parts = text.split()
    if len(parts) < 2 or "\n" in text.strip():
        return False
    try:
        blob = base64.b64decode(parts[1], validate=True)
        (length,) = struct.unpack_from(">I", blob)
    except (binascii.Error, struct.error, ValueError):
        return False
    return blob[4:].startswith(parts[0].encode()) and length == len(parts[0])


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _current_user() -> str:
    from azure.cli.core.util import get_default_admin_username

    try:
        return str(get_default_admin_username())
    except OSError:  # Python 3.13 and newer, where the user has no name
        return "azureuser"
