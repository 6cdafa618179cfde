"""The SDK's requests to a server of this machine, by Python's own HTTP client.

The transport of azure-core stands on `requests`, which is a quarter of what a command of ours imports, and made for
proxies, certificates and redirects: nothing that there is on loopback.
"""

from __future__ import annotations

import http.client
import select
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from azure.core.exceptions import (
    ServiceRequestError,
    ServiceRequestTimeoutError,
    ServiceResponseError,
    ServiceResponseTimeoutError,
)
from azure.core.pipeline.transport import HttpResponse, HttpTransport
from azure.core.utils import case_insensitive_dict


class LoopbackResponse(HttpResponse):
    """An answer that has been read to its end."""

    def __init__(self, request: Any, answer: http.client.HTTPResponse) -> None:
        super().__init__(request, answer)
        self.status_code = answer.status
        self.reason = answer.reason
        self.headers = case_insensitive_dict()
        for name, value in answer.getheaders():
            self.headers[name] = f"{self.headers[name]}, {value}" if name in self.headers else value
        self.content_type = self.headers.get("content-type")
        self._content = answer.read()

    def body(self) -> bytes:
        return self._content

    def stream_download(self, pipeline: Any, **kwargs: Any) -> Iterator[bytes]:
        yield self._content


class LoopbackTransport(HttpTransport[Any, LoopbackResponse]):
    """A connection for each thread (pollers have their own), made anew where the server has closed it.

    `seconds`: how long it is waited for each time.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._own = threading.local()

    def open(self) -> None:
        """Nothing: a request connects."""

    def close(self) -> None:
        kept = self._kept()
        if kept:
            kept.close()
        self._own.connection = None

    def __exit__(self, *args: Any) -> None:
        self.close()

    def send(self, request: Any, **kwargs: Any) -> LoopbackResponse:
        """Raises ServiceRequestError where nothing was sent, ServiceResponseError where no answer came."""
        parts = urlsplit(request.url)
        try:
            connection = self._connected(parts.netloc)
        except TimeoutError as error:
            raise ServiceRequestTimeoutError(error, error=error) from error
        except OSError as error:
            raise ServiceRequestError(error, error=error) from error
        target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        try:
            connection.request(request.method, target, request.data, dict(request.headers))
            return LoopbackResponse(request, connection.getresponse())
        except TimeoutError as error:
            self.close()
            raise ServiceResponseTimeoutError(error, error=error) from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise ServiceResponseError(error, error=error) from error

    def _connected(self, place: str) -> http.client.HTTPConnection:
        """A connection to this host and port that the server has not closed meanwhile. Raises OSError."""
        kept = self._kept()
        if kept and kept.sock and place == self._own.place and not select.select([kept.sock], [], [], 0)[0]:
            return kept
        self.close()
        connection = http.client.HTTPConnection(place, timeout=self._seconds)
        connection.connect()
        self._own.connection, self._own.place = connection, place
        return connection

    def _kept(self) -> http.client.HTTPConnection | None:
        kept: http.client.HTTPConnection | None = getattr(self._own, "connection", None)
        return kept
