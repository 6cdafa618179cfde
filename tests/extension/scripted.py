"""A loopback ARM server that answers what a test has scripted, in order, and checks what it is asked."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from facts import recordings

SUBSCRIPTION = recordings.SUBSCRIPTION
_ANY = object()


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    body: Any
    headers: dict[str, str]


@dataclass
class Answer:
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Step:
    """One expected request and its answer."""

    method: str
    path: str
    answer: Answer
    query: Any = _ANY
    body: Any = _ANY

    def differences(self, request: Request) -> list[str]:
        expected = {"method": self.method, "path": self.path, "query": self.query, "body": self.body}
        return [
            f"{name}: expected {value!r}, got {getattr(request, name)!r}"
            for name, value in expected.items()
            if value is not _ANY and getattr(request, name) != value
        ]


class ScriptedServer:
    """`steps` must be asked for in order; `routes` answer at any time: (method, path) -> function of the request."""

    token = "scripted-token"

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.routes: dict[tuple[str, str], Callable[[Request], Answer]] = {}
        # Asked before the steps, after the routes; None where it has no answer.
        self.fallback: Callable[[Request], Answer | None] = lambda _: None
        self.open_paths: set[str] = set()  # these need no token
        self.requests: list[Request] = []
        self.faults: list[str] = []
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def expect(self, method: str, path: str, answer: Answer | None = None, **more: Any) -> None:
        self.steps.append(Step(method, path, answer or Answer(), **more))

    def on(self, method: str, path: str, answer: Answer | Callable[[Request], Answer]) -> None:
        self.routes[method, path] = answer if callable(answer) else lambda _: answer

    def load(self, interactions: list[dict[str, Any]]) -> None:
        """Expect these recorded requests, and answer them as recorded."""
        for item in interactions:
            headers = {
                name: value.replace(recordings.HOST, self.url)
                for name, value in item["response_headers"].items()
                if name.lower() in ("location", "azure-asyncoperation", "etag")
            }
            # The recordings lost Retry-After; without any, the SDK would wait for 30 s.
            headers["retry-after-ms"] = "1"
            answer = Answer(item["status"], item["response_body"], headers)
            self.expect(item["method"], item["path"], answer, query=item["query"], body=item["request_body"])

    def check(self) -> None:
        """Fail unless all that was scripted has been asked for, and nothing else."""
        assert not self.faults, "\n".join(self.faults)
        assert not self.steps, f"never asked for: {[(s.method, s.path) for s in self.steps]}"

    def _answer(self, request: Request) -> Answer:
        with self._lock:
            self.requests.append(request)
            authorized = request.headers.get("authorization") == f"Bearer {self.token}"
            if not authorized and request.path not in self.open_paths:
                self.faults.append(f"{request.method} {request.path}: authorization {request.headers}")
            route = self.routes.get((request.method, request.path), self.fallback)
            return route(request) or self._next_step(request)

    def _next_step(self, request: Request) -> Answer:
        if not self.steps:
            fault = f"not expected: {request.method} {request.path} {request.query}"
        else:
            step = self.steps.pop(0)
            found = step.differences(request)
            if not found:
                return step.answer
            fault = f"{request.method} {request.path}: " + "; ".join(found)
        self.faults.append(fault)
        return Answer(418, {"error": {"code": "NotScripted", "message": fault}})

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except ConnectionError:
                    self.close_connection = True

            def __getattr__(self, name: str) -> Any:
                if name.startswith("do_"):
                    return self._serve
                raise AttributeError(name)

            def _serve(self) -> None:
                parts = urlsplit(self.path)
                data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                request = Request(
                    method=self.command,
                    path=parts.path,
                    query=dict(parse_qsl(parts.query)),
                    body=json.loads(data) if data else None,
                    headers={name.lower(): value for name, value in self.headers.items()},
                )
                answer = outer._answer(request)
                body = answer.body
                content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json; charset=utf-8")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
