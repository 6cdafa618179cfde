"""The `batchai` module that azure-cli ships, on a client that asks the scripted server: how the old faults looked.

Its functions are called as its commands call them, since its own client would want `az login` and an Azure over TLS.
"""

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from extension.scripted import SUBSCRIPTION, ScriptedServer

GROUP, WORKSPACE = "g", "w"
OF_JOB = (GROUP, WORKSPACE, "e", "j")
OF_CLUSTER = (GROUP, WORKSPACE, "c")


def load(name: str) -> Any:
    """A module of it, with our help still the one that az shows: it brings its own when it is imported."""
    from knack.help_files import helps

    before = dict(helps)
    module = pytest.importorskip(
        f"azure.cli.command_modules.batchai.{name}", reason="this azure-cli ships no batchai module any more"
    )
    helps.update(before)
    return module


class Builtin:
    """`code` is its module `custom`, `client` the SDK client; `cmd` the first argument of its commands."""

    def __init__(self, server: ScriptedServer) -> None:
        from azure.core.credentials import AzureKeyCredential
        from azure.core.pipeline.policies import AzureKeyCredentialPolicy
        from azure.mgmt.batchai import BatchAI

        self.code = load("custom")
        self.cmd = SimpleNamespace(cli_ctx=None)
        credential = AzureKeyCredential(server.token)
        self.client = BatchAI(
            credential,
            SUBSCRIPTION,
            base_url=server.url,
            authentication_policy=AzureKeyCredentialPolicy(credential, "Authorization", prefix="Bearer"),
            retry_total=0,
        )
        self.log: list[str] = []
        self.log_faults: list[Exception] = []

    def logger(self) -> logging.Logger:
        """A logger that notes what is logged, for its own: pytest's handlers would raise what logging only reports."""
        handler = logging.Handler()
        handler.emit = self._note  # type: ignore[method-assign]
        logger = logging.Logger("builtin")
        logger.addHandler(handler)
        return logger

    def _note(self, record: logging.LogRecord) -> None:
        try:
            self.log.append(record.getMessage())
        except TypeError as error:
            self.log_faults.append(error)
