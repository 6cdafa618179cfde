"""The page without a browser: HTTP as a browser sends it, answers as text."""

import http.client
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode, urlsplit

from harness.service import Service

FORM = "application/x-www-form-urlencoded"


def invite(service: Service, **options: Any) -> dict[str, str]:
    """What `az batchai local ui` gets of the service: an address with a code, and where asked for an opener."""
    status, _, body = service.request("POST", "/_local/ui", options)
    assert status == 200, body
    return body


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    content: bytes

    @property
    def text(self) -> str:
        """The source of the page."""
        return self.content.decode("utf-8")

    @property
    def shown(self) -> str:
        """The words of `<main>`, as somebody reads them, with one space between two."""
        reader = _Reader()
        reader.feed(self.text)
        return " ".join(" ".join(reader.words).split())

    @property
    def token(self) -> str:
        """The anti-forgery token in the forms of the page."""
        found = re.search(r'name="token" value="([^"]+)"', self.text)
        assert found, f"no form on the page: {self.text}"
        return found[1]


class Visitor:
    """One browser; `get` and `post` send its cookie. Headers that are given as None are not sent."""

    def __init__(self, service: Service) -> None:
        self.endpoint = service.info["endpoint"]
        self.authority = urlsplit(self.endpoint).netloc
        self.cookie = ""

    def sign_in(self, service: Service) -> "Visitor":
        address = invite(service)["address"]
        answer = self.get(address[len(self.endpoint) :])
        assert answer.status == 200, answer.text
        self.cookie = answer.headers["set-cookie"].partition(";")[0]
        return self

    def get(self, path: str, **headers: str | None) -> Answer:
        return self.send("GET", path, None, headers)

    def post(self, path: str, form: dict[str, str] | bytes, **headers: str | None) -> Answer:
        """As a form of the page itself; its token has to be in `form`."""
        body = form if isinstance(form, bytes) else urlencode(form).encode()
        return self.send("POST", path, body, {"content-type": FORM, "origin": self.endpoint, **headers})

    def submit(self, page: str, action: str, **form: str) -> Answer:
        """Open `page` and send one of its forms."""
        return self.post(action, {"token": self.get(page).token, **form})

    def send(self, method: str, path: str, body: bytes | None, headers: dict[str, str | None]) -> Answer:
        """`sec_fetch_site` is the header `Sec-Fetch-Site`. The path goes out as it is."""
        sent = {"host": self.authority, "cookie": self.cookie or None, "accept": "text/html"}
        sent.update({name.replace("_", "-"): value for name, value in headers.items()})
        connection = http.client.HTTPConnection(self.authority, timeout=30)
        try:
            connection._validate_path = lambda url: None  # type: ignore[attr-defined]  # hostile ones as well
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in sent.items():
                if value is not None:
                    connection.putheader(name, value)
            if body is not None:
                connection.putheader("content-length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = self._inside or tag == "main"

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "main"

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.words.append(data)
