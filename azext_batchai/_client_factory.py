"""Where requests go (the embedded service, Azure, or an endpoint of the user's) and with which credential."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from typing import Any

_NO_SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
# Of --ids with several, az runs the command for each in a thread. Threads that import the SDK at once, whose packages
# import each other, may find one half imported.
_one_at_a_time = threading.Lock()
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True)
class Endpoint:
    """`kind` is "local" (the embedded service), "arm" (the active cloud) or "url"."""

    kind: str
    url: str = ""


def endpoint(cli_ctx: Any) -> Endpoint:
    """Raises InvalidArgumentValueError for what cannot be an endpoint."""
    chosen = (cli_ctx.config.get("batchai", "endpoint", fallback="") or "local").strip()
    if chosen.lower() in ("local", "arm"):
        return Endpoint(chosen.lower())
    from urllib.parse import urlsplit

    from azure.cli.core.azclierror import InvalidArgumentValueError

    parts = urlsplit(chosen)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidArgumentValueError(
            f"The Batch AI endpoint '{chosen}' is neither 'local' nor 'arm' nor a URL.",
            recommendation="Set it with `az config set batchai.endpoint=...` or AZURE_BATCHAI_ENDPOINT.",
        )
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise InvalidArgumentValueError(
            f"The Batch AI endpoint '{chosen}' would send the token in clear text over the network.",
            recommendation="Use https; plain http is for this machine (127.0.0.1, localhost) only.",
        )
    return Endpoint("url", chosen.rstrip("/"))


def is_local(cli_ctx: Any) -> bool:
    """Whether commands go to the embedded service."""
    return endpoint(cli_ctx).kind == "local"


def batchai(cli_ctx: Any, _: Any = None) -> Any:
    """The SDK client of Batch AI."""
    with _one_at_a_time:
        target = endpoint(cli_ctx)
        if target.kind == "arm":
            return _azure(cli_ctx)
        if target.kind == "url":
            return _elsewhere(cli_ctx, target.url)
        return _embedded(cli_ctx)


def embedded(cli_ctx: Any, _: Any = None) -> Any:
    """The SDK client of the embedded service, wherever other commands go."""
    with _one_at_a_time:
        return _embedded(cli_ctx)


def workspaces(cli_ctx: Any, _: Any = None) -> Any:
    return batchai(cli_ctx).workspaces


def clusters(cli_ctx: Any, _: Any = None) -> Any:
    return batchai(cli_ctx).clusters


def experiments(cli_ctx: Any, _: Any = None) -> Any:
    return batchai(cli_ctx).experiments


def jobs(cli_ctx: Any, _: Any = None) -> Any:
    return batchai(cli_ctx).jobs


def usages(cli_ctx: Any, _: Any = None) -> Any:
    return batchai(cli_ctx).usages


def _azure(cli_ctx: Any) -> Any:
    from azure.cli.core.commands.client_factory import get_mgmt_service_client
    from azure.mgmt.batchai import BatchAI
    from knack.util import CLIError

    try:
        return get_mgmt_service_client(cli_ctx, BatchAI)
    except CLIError as error:
        if "az login" not in str(error):
            raise
    from azext_batchai.transport.environment_login import client

    chosen = _chosen_subscription(cli_ctx) or cli_ctx.config.get("batchai", "subscription", fallback=None)
    return client(cli_ctx, chosen)


def _elsewhere(cli_ctx: Any, url: str) -> Any:
    token = cli_ctx.config.get("batchai", "token", fallback=None)
    if not token:
        from azure.cli.core.azclierror import UnauthorizedError

        raise UnauthorizedError(
            f"There is no token for the Batch AI endpoint {url}.",
            recommendation="Set it with `az config set batchai.token=TOKEN` or AZURE_BATCHAI_TOKEN.",
        )
    subscription = _chosen_subscription(cli_ctx) or cli_ctx.config.get("batchai", "subscription", fallback=None)
    return _client(cli_ctx, url, token, subscription or _NO_SUBSCRIPTION, polling_interval=1, retry_connect=1)


def _embedded(cli_ctx: Any) -> Any:
    from azext_batchai.local import embedded as local
    from azext_batchai.local.reconnect import ReconnectPolicy

    subscription = _chosen_subscription(cli_ctx)
    if subscription and not _GUID.fullmatch(subscription):
        from azure.cli.core.azclierror import InvalidArgumentValueError

        raise InvalidArgumentValueError(
            f"--subscription '{subscription}' is not a subscription ID.",
            recommendation="The local service takes any GUID, or leave --subscription out.",
        )
    service = local.ensure(cli_ctx)
    follow = ReconnectPolicy(cli_ctx, service)
    return _client(
        cli_ctx,
        service.endpoint,
        follow.credential,
        subscription or service.subscription,
        per_call_policies=[follow],
        polling_interval=0.2,
        retry_total=0,  # `follow` knows better what helps
    )


def _client(cli_ctx: Any, url: str, token: Any, subscription: str, **options: Any) -> Any:
    """An SDK client that sends a fixed token.

    Made by hand: get_mgmt_service_client loads the login code, and its token policy refuses http even on loopback.
    """
    from azure.cli.core.commands.client_factory import prepare_client_kwargs_track2
    from azure.core.credentials import AzureKeyCredential
    from azure.core.pipeline.policies import AzureKeyCredentialPolicy

    from azext_batchai.transport.sdk import batchai as sdk

    credential = AzureKeyCredential(token) if isinstance(token, str) else token
    if url.startswith("http:"):
        from azext_batchai.transport.http import PATIENCE_SECONDS
        from azext_batchai.transport.loopback import LoopbackTransport

        # Nothing on loopback is to go through a proxy of the environment, and nothing there takes long to answer.
        options["transport"] = LoopbackTransport(PATIENCE_SECONDS)
    return sdk().BatchAI(
        credential,
        subscription,
        base_url=url,
        authentication_policy=AzureKeyCredentialPolicy(credential, "Authorization", prefix="Bearer"),
        **prepare_client_kwargs_track2(cli_ctx),
        **options,
    )


def _chosen_subscription(cli_ctx: Any) -> str | None:
    return cli_ctx.data.get("subscription_id")
