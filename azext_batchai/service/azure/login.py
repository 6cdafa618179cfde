"""What clients ask before they have a token: what the cloud consists of, and for a token.

A token is a service principal's; its secret is not looked at. What keeps others out is that the connection must come
from the user whom the service belongs to, as everything that this user can read (service.json) opens the service too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from azext_batchai.service import hosts
from azext_batchai.service.arm.replies import Reply
from azext_batchai.service.azure import tenancy
from azext_batchai.service.state import State
from azext_batchai.service.tokens import LIFE_SECONDS, Tokens

_METADATA = "/metadata/endpoints"
_OPENID = re.compile(r"/([^/]+)(?:/v2\.0)?/\.well-known/openid-configuration")
_TOKEN = re.compile(r"/([^/]+)/oauth2(?:/v2\.0)?/token")
_KEYS = re.compile(r"/[^/]+/discovery(?:/v2\.0)?/keys")
_OBJECT_SINCE = "2022-09-01"  # before, the metadata were a list of clouds


def describe(method: str, path: str, query: Mapping[str, str], base_url: str) -> Reply | None:
    """The answer to a question that needs no credential; None for any other."""
    if method != "GET":
        return None
    if path == _METADATA:
        found = _metadata(base_url)
        return Reply(200, found if query.get("api-version", _OBJECT_SINCE) >= _OBJECT_SINCE else [found])
    match = _OPENID.fullmatch(path)
    if match:
        return Reply(200, _openid(f"{_authority(base_url)}/{match[1]}"))
    return Reply(200, {"keys": []}) if _KEYS.fullmatch(path) else None


def is_token_request(method: str, path: str) -> bool:
    return method == "POST" and bool(_TOKEN.fullmatch(path))


def token(state: State, tokens: Tokens, path: str, form: Mapping[str, str], own_user: bool) -> Reply:
    """A token for a service principal with any secret (https://datatracker.ietf.org/doc/html/rfc6749 4.4).

    `own_user`: the request comes from the user of the service, and names the service as one of its own names.
    """
    if not own_user:
        return _refused(401, "invalid_client", "Tokens are for the user of the service, at the service's own names.")
    kind = form.get("grant_type", "")
    if kind != "client_credentials":
        return _refused(
            400,
            "unsupported_grant_type",
            f"The local cloud knows no login by '{kind}'. Log in with a service principal and any secret: "
            "az login --service-principal -u NAME -p SECRET --tenant TENANT.",
        )
    client = form.get("client_id", "")
    if not client or not (form.get("client_secret") or form.get("client_assertion")):
        return _refused(401, "invalid_client", "A service principal has a name and a secret (any secret will do).")
    match = _TOKEN.fullmatch(path)
    named = match[1] if match else ""
    tenant = tenancy.tenant(state.vault) if named in ("", "common", "organizations") else named
    audience = form.get("resource") or form.get("scope", "").partition(" ")[0].removesuffix("/.default")
    if not audience:
        return _refused(400, "invalid_scope", "The request names neither a scope nor a resource.")
    return Reply(
        200,
        {
            "token_type": "Bearer",
            "expires_in": LIFE_SECONDS,
            "ext_expires_in": LIFE_SECONDS,
            "access_token": tokens.issue(audience, tenant, client),
        },
    )


def _refused(status: int, code: str, description: str) -> Reply:
    return Reply(status, {"error": code, "error_description": description, "error_codes": []})


def _authority(base_url: str) -> str:
    """Where clients log in: by name where the client reaches names, else where it asks."""
    return f"https://{hosts.LOGIN}" if base_url.endswith(".batchai.localhost") else base_url


def _openid(authority: str) -> dict[str, Any]:
    return {
        "issuer": f"{authority}/v2.0",
        "authorization_endpoint": f"{authority}/oauth2/v2.0/authorize",
        "token_endpoint": f"{authority}/oauth2/v2.0/token",
        "jwks_uri": f"{authority}/discovery/v2.0/keys",
        "response_types_supported": ["token"],
        "grant_types_supported": ["client_credentials"],
        "subject_types_supported": ["pairwise"],
        "token_endpoint_auth_methods_supported": ["client_secret_post"],
        "id_token_signing_alg_values_supported": ["RS256"],
    }


def _metadata(base_url: str) -> dict[str, Any]:
    """The cloud as `az cloud register --endpoint-resource-manager` reads it."""
    port = base_url.rpartition(":")[2]
    suffix = hosts.STORAGE_SUFFIX if base_url.endswith(".batchai.localhost") else f"{hosts.STORAGE_SUFFIX}:{port}"
    others = ("portal", "gallery", "batch", "media", "sqlManagement", "vmImageAliasDoc", "activeDirectoryDataLake")
    return {
        "name": tenancy.CLOUD,
        "resourceManager": base_url,
        "authentication": {
            "loginEndpoint": _authority(base_url),
            "audiences": [base_url],
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "graphAudience": f"https://{hosts.GRAPH}/",
        "microsoftGraphResourceId": f"https://{hosts.GRAPH}/",
        **dict.fromkeys(others, base_url),
        "suffixes": {
            "storage": suffix,
            "keyVaultDns": "vault.localhost",
            "sqlServerHostname": "sql.localhost",
            "acrLoginServer": "acr.localhost",
        },
    }
