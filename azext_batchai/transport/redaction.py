"""What --debug shows of requests and answers: everything but secrets."""

from __future__ import annotations

# pylint: disable=too-few-public-methods
import json
import logging
import re
from typing import Any

# Who writes bodies and addresses into the log.
_LOGGERS = ("cli.azure.cli.core.sdk.policies", "cli.azure.cli.core.util", "urllib3.connectionpool")
_SECRET_KEYS = {"adminuserpassword", "password", "accountkey", "instrumentationkey", "client_secret", "access_token"}
_LISTS_OF_SECRETS = {"secrets", "keys"}  # whose entries have the secret as their `value`
_SIGNATURE = re.compile(r"(?i)(\bsig=)[^&\s\"'\\]+")
_CONNECTION_STRING = re.compile(r"(?i)(\b(?:AccountKey|SharedAccessSignature)=)[^;\s\"'\\]+")
_SECRET_IN_TEXT = re.compile(
    r'(?i)("(?:' + "|".join(sorted(_SECRET_KEYS)) + r')"\s*:\s*)"(?:[^"\\]|\\.)*"'
)
HIDDEN = "*****"


def install() -> None:
    """Hide secrets in what is logged from now on. Idempotent."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(one, _Redaction) for one in logger.filters):
            logger.addFilter(_Redaction())


class _Redaction(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redacted(record.getMessage()), ()
        return True


def redacted(text: str) -> str:
    """A line of the log without the secrets in it."""
    if text.lstrip().startswith(("{", "[")):
        try:
            text = json.dumps(_redacted_json(json.loads(text)), ensure_ascii=False)
        except ValueError:
            text = _SECRET_IN_TEXT.sub(rf'\1"{HIDDEN}"', text)
    return _CONNECTION_STRING.sub(rf"\1{HIDDEN}", _SIGNATURE.sub(rf"\1{HIDDEN}", text))


def _redacted_json(value: Any, inside: str = "") -> Any:
    if isinstance(value, list):
        return [_redacted_json(entry, inside) for entry in value]
    if not isinstance(value, dict):
        return value
    shown = {}
    for key, entry in value.items():
        secret = key.lower() in _SECRET_KEYS or (key == "value" and inside in _LISTS_OF_SECRETS)
        shown[key] = HIDDEN if secret and isinstance(entry, str) else _redacted_json(entry, key.lower())
    return shown
