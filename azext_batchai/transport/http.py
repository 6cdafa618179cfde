"""HTTP beside ARM: downloads and storage accounts."""

from __future__ import annotations

from typing import Any

# How long a server of this machine is waited for, in seconds: one that was stopped, or hangs, takes a connection and
# never answers.
PATIENCE_SECONDS = 30
_HERE = ("http://127.0.0.1:", "http://localhost:", "http://[::1]:")


def session() -> Any:
    """An HTTP session that verifies, and goes through proxies, as the rest of az does; never a proxy to loopback.

    Its requests raise AzureConnectionError where a server of this machine does not answer at all.
    """
    import requests
    from azure.cli.core.azclierror import AzureConnectionError
    from azure.cli.core.util import should_disable_connection_verify

    class Session(requests.Session):
        def request(self, method: str, url: str, *args: Any, **options: Any) -> Any:  # type: ignore[override]
            if not url.startswith(_HERE):
                return super().request(method, url, *args, **options)
            try:
                return super().request(method, url, *args, **{**options, "timeout": PATIENCE_SECONDS})
            except requests.exceptions.Timeout as error:  # its text would hold the URL, which is a secret
                raise AzureConnectionError(
                    f"The server at {'/'.join(url.split('/')[:3])} does not answer.",
                    recommendation="If it is the local Batch AI service, run `az batchai local down`, which ends it "
                    "also where it hangs (running jobs go on), then the command again.",
                ) from error

        def merge_environment_settings(self, url: str, *args: Any) -> Any:
            settings = super().merge_environment_settings(url, *args)
            if url.startswith(_HERE):
                settings["proxies"] = {}
            return settings

    made = Session()
    made.verify = not should_disable_connection_verify()
    return made
