"""The front of one service: a TLS listener and a proxy, opened when a client first asks for them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from azext_batchai.service import hosts
from azext_batchai.service.arm.errors import ArmError
from azext_batchai.service.azure import tenancy
from azext_batchai.service.front import KEY
from azext_batchai.service.front.authority import Authority
from azext_batchai.service.front.proxy import Proxy, Upstream
from azext_batchai.service.ports import PortError, Ports
from azext_batchai.service.state import State

log = logging.getLogger(__name__)


class Front:
    """`protocol` makes the HTTP protocol of one connection, the same as for plain HTTP."""

    def __init__(self, state: State, ports: Ports, protocol: Callable[[], asyncio.Protocol]) -> None:
        self._state = state
        self._ports = ports
        self._protocol = protocol
        self._servers: list[asyncio.Server] = []
        self._proxy: Proxy | None = None
        self._facts: dict[str, Any] = {}
        self._opening = asyncio.Lock()

    @property
    def endpoint(self) -> str:
        """Where the service speaks TLS; '' while it does not."""
        return str(self._facts.get("endpoint", ""))

    async def resume(self) -> None:
        """Open again what was open when an earlier service ended."""
        asked = self._state.vault.open(KEY)
        if asked:
            try:
                await self._open(Upstream(**asked))
            except (PortError, OSError):
                log.exception("the front cannot be opened")  # whoever asks for it again is told

    async def open(self, wishes: Any) -> dict[str, Any]:
        """Open the front, or only change what is behind it; returns where it is.

        `wishes`: `proxy` and `noProxy`, as HTTPS_PROXY and NO_PROXY have them. Raises ArmError, OSError.
        """
        wishes = wishes if isinstance(wishes, dict) else {}
        upstream = Upstream(str(wishes.get("proxy") or ""), str(wishes.get("noProxy") or ""))
        try:
            await self._open(upstream)
        except PortError as exc:
            raise ArmError(503, "ServiceUnavailable", str(exc)) from None
        with self._state.store.transaction():
            self._state.vault.seal(KEY, vars(upstream))
        return self._facts

    def close(self) -> None:
        for server in self._servers:
            server.close()
        if self._proxy:
            self._proxy.close()

    async def _open(self, upstream: Upstream) -> None:
        async with self._opening:
            if not self._proxy:
                self._proxy = await self._listen()
        self._proxy.upstream = upstream

    async def _listen(self) -> Proxy:
        authority = await asyncio.to_thread(Authority, self._state.settings.home / "tls", hosts.CERTIFIED)
        loop = asyncio.get_running_loop()
        tls = self._ports.listen("tls")
        proxy = Proxy(tls.getsockname())
        entrance = self._ports.listen("proxy")
        self._facts = {
            "certificate": str(authority.certificate),
            "endpoint": f"https://localhost:{tls.getsockname()[1]}",
            "proxy": f"http://127.0.0.1:{entrance.getsockname()[1]}",
            "cloud": tenancy.CLOUD,
            "resourceManager": f"https://{hosts.RESOURCE_MANAGER}",
            "login": f"https://{hosts.LOGIN}",
            "graph": f"https://{hosts.GRAPH}",
            "storageSuffix": hosts.STORAGE_SUFFIX,
            "tenant": tenancy.tenant(self._state.vault),
            "principal": tenancy.principal(self._state.vault),
            "subscription": self._state.subscription,
            "subscriptionName": tenancy.SUBSCRIPTION_NAME,
        }
        self._servers = [
            await loop.create_server(self._protocol, sock=tls, ssl=authority.context, backlog=1024),
            await asyncio.start_server(proxy.serve, sock=entrance, limit=64 << 10, backlog=1024),
        ]
        log.info("front ready: %s, proxy %s", self._facts["endpoint"], self._facts["proxy"])
        return proxy
