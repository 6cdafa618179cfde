"""Which engine a new cluster is to run on: --engine, else its file, else the setting batchai.engine."""

from __future__ import annotations

from typing import Any

_HEADER = "x-batchai-engine"


def engine_header(cli_ctx: Any, chosen: str | None) -> dict[str, str]:
    """The header of the request; none where the service is to choose. Raises ValidationError for a service in Azure."""
    from azext_batchai import _client_factory as clients

    if clients.endpoint(cli_ctx).kind == "arm":
        if chosen:
            from azure.cli.core.azclierror import ValidationError

            raise ValidationError(
                f"Azure has no engine '{chosen}': engines are of the local service.",
                recommendation="Leave --engine away, or run `az config unset batchai.endpoint` for the local service.",
            )
        return {}
    engine = (chosen or cli_ctx.config.get("batchai", "engine", fallback="") or "").strip()
    return {_HEADER: engine} if engine else {}
