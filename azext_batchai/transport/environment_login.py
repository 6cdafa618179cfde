"""Azure where nobody ran `az login`: the credential of the environment, as CI, Cloud Shell and Azure's machines have.

azure-identity is imported here and only where it is needed: it costs a tenth of a second.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any

from knack.log import get_logger

from azext_batchai.transport.arm import Arm

logger = get_logger(__name__)

_SUBSCRIPTION_VARIABLE = "AZURE_SUBSCRIPTION_ID"
_NO_SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"


def client(cli_ctx: Any, subscription: str | None) -> Any:
    """The SDK client for the active cloud. Raises UnauthorizedError where the environment offers no credential."""
    credential = _credential(cli_ctx)
    subscription = subscription or os.environ.get(_SUBSCRIPTION_VARIABLE)
    if not subscription:
        subscription = _only_subscription(_client(cli_ctx, credential, _NO_SUBSCRIPTION))
    return _client(cli_ctx, credential, subscription)


def _client(cli_ctx: Any, credential: Any, subscription: str) -> Any:
    from azure.cli.core.commands.client_factory import prepare_client_kwargs_track2
    from azure.mgmt.batchai import BatchAI

    return BatchAI(
        credential,
        subscription,
        base_url=cli_ctx.cloud.endpoints.resource_manager.rstrip("/"),
        credential_scopes=[_scope(cli_ctx)],
        **prepare_client_kwargs_track2(cli_ctx),
    )


def _credential(cli_ctx: Any) -> Any:
    """A credential that has just got a token, so that a fault is told before anything else."""
    from azure.cli.core.azclierror import UnauthorizedError
    from azure.cli.core.util import should_disable_connection_verify
    from azure.core.exceptions import ClientAuthenticationError
    from azure.identity import CredentialUnavailableError, DefaultAzureCredential

    credential = DefaultAzureCredential(
        authority=cli_ctx.cloud.endpoints.active_directory,
        disable_instance_discovery=not cli_ctx.config.getboolean("core", "instance_discovery", True),
        # Logins of other tools, which are none of the environment's.
        exclude_cli_credential=True,
        exclude_powershell_credential=True,
        exclude_developer_cli_credential=True,
        exclude_visual_studio_code_credential=True,
        exclude_shared_token_cache_credential=True,
        exclude_broker_credential=True,
        **({"connection_verify": False} if should_disable_connection_verify() else {}),
    )
    try:
        with _quiet("azure.identity"):
            credential.get_token(_scope(cli_ctx))
    except ClientAuthenticationError as error:
        logger.debug("No token: %s", error)
        offered = not isinstance(error, CredentialUnavailableError) and _is_configured()
        raise UnauthorizedError(
            f"The credential of the environment was refused: {_reason(error)}"
            if offered
            else "The Batch AI endpoint is Azure ('arm'), nobody is logged in to Azure, and the environment offers no "
            "credential.",
            recommendation=[
                "Run `az login`.",
                "In CI set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET (or AZURE_FEDERATED_TOKEN_FILE), "
                "or use a machine with a managed identity.",
                "For the service on this machine run `az config set batchai.endpoint=local`.",
            ],
        ) from error
    return credential


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Keep a library from telling in dozens of lines what we tell in one."""
    library = logging.getLogger(name)
    level = library.level
    library.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        library.setLevel(level)


def _scope(cli_ctx: Any) -> str:
    from azure.cli.core.auth.util import resource_to_scopes

    return str(resource_to_scopes(cli_ctx.cloud.endpoints.active_directory_resource_id)[0])


def _is_configured() -> bool:
    """Whether the environment names a credential, good or bad; an identity of the machine needs no variable."""
    return any(os.environ.get(name) for name in ("AZURE_CLIENT_ID", "MSI_ENDPOINT", "IDENTITY_ENDPOINT"))


def _reason(error: Exception) -> str:
    """The first attempt that says more than that it is not configured."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if ": " in line and "configuration" not in line.lower()]
    return (telling or lines)[0]


def _only_subscription(any_client: Any) -> str:
    found = {str(item["subscriptionId"]): str(item.get("displayName")) for item in Arm(any_client).subscriptions()}
    if len(found) == 1:
        return next(iter(found))
    from azure.cli.core.azclierror import RequiredArgumentMissingError

    names = "; ".join(f"{name} ({id_})" for id_, name in found.items())
    raise RequiredArgumentMissingError(
        f"The credential of the environment reaches several subscriptions: {names}."
        if found
        else "The credential of the environment reaches no subscription.",
        recommendation=f"Give --subscription, or set {_SUBSCRIPTION_VARIABLE}."
        if found
        else "Give its identity a role in a subscription.",
    )
