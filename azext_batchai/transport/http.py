"""HTTP beside ARM: downloads and storage accounts."""

from __future__ import annotations

from typing import Any


def session() -> Any:
    """An HTTP session that verifies, and goes through proxies, as the rest of az does; never a proxy to loopback."""
    import requests
    from azure.cli.core.util import should_disable_connection_verify

    class Session(requests.Session):
        def merge_environment_settings(self, url: str, *args: Any) -> Any:
            settings = super().merge_environment_settings(url, *args)
            if url.startswith(("http://127.0.0.1:", "http://localhost:", "http://[::1]:")):
                settings["proxies"] = {}
            return settings

    made = Session()
    made.verify = not should_disable_connection_verify()
    return made
