"""Requests follow the embedded service: it may be restarted, elsewhere, between two requests of one command."""

from __future__ import annotations

import time
from typing import Any

from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import ServiceRequestError, ServiceResponseError, ServiceResponseTimeoutError
from azure.core.pipeline.policies import HTTPPolicy
from knack.log import get_logger

from azext_batchai.local import embedded

logger = get_logger(__name__)

# A service that is shutting down still has its process while its port is closed already.
_SHUTDOWN_SECONDS = 3


class ReconnectPolicy(HTTPPolicy):  # type: ignore[type-arg]  # pylint: disable=too-few-public-methods
    """Send a request again, once, to the service started anew when there was none at the address known."""

    def __init__(self, cli_ctx: Any, service: embedded.Service) -> None:
        super().__init__()
        self.credential = AzureKeyCredential(service.token)
        self._cli_ctx = cli_ctx
        self._service = service
        self._left: set[str] = set()

    def send(self, request: Any) -> Any:
        response = self._send(request)
        warning = response.http_response.headers.get("Warning")
        if warning:  # `199 batchai "text"`: the service has something to say that is no failure
            logger.warning("%s", warning.partition('"')[2].rstrip('"'))
        return response

    def _send(self, request: Any) -> Any:
        self._readdress(request.http_request)
        try:
            return self.next.send(request)
        except ServiceRequestError:  # not connected: nothing was sent
            pass
        except ServiceResponseError as error:  # it died in the middle, or hangs
            if isinstance(error, ServiceResponseTimeoutError):
                raise embedded.deaf(self._service) from error
            if request.http_request.method not in ("GET", "HEAD"):
                raise
        self._find_again()
        self._readdress(request.http_request)
        return self.next.send(request)

    def _find_again(self) -> None:
        deadline = time.monotonic() + _SHUTDOWN_SECONDS
        while (found := embedded.find(self._cli_ctx)) == self._service and time.monotonic() < deadline:
            time.sleep(0.05)
        if found == self._service:
            raise embedded.deaf(found)
        self._left.add(self._service.endpoint)
        self._service = found or embedded.start(self._cli_ctx)
        self._left.discard(self._service.endpoint)
        self.credential.update(self._service.token)

    def _readdress(self, http_request: Any) -> None:
        for old in self._left:
            if http_request.url.startswith(old + "/"):
                http_request.url = self._service.endpoint + http_request.url.removeprefix(old)
