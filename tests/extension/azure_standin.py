"""An Azure for tests: ARM and the login service over TLS, the identity endpoints of machines over plain http.

ARM lets in only who brings a token that the login service or an identity endpoint gave out, and for this ARM.
"""

import base64
import contextlib
import datetime
import ipaddress
import json
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

TENANT, CLIENT, SECRET = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222", "s3cret"
SUBSCRIPTION = "33333333-3333-3333-3333-333333333333"
AUDIENCE = "https://management.standin/"
STORAGE_SUFFIX = "core.standin"
IDENTITY_HEADER = "the-header-of-this-machine"


class StandIn:
    def __init__(self, folder: Path) -> None:
        self.certificate = folder / "ca.pem"
        self.federated_token = "a-token-of-the-cluster"
        self.subscriptions = {SUBSCRIPTION: "the only one"}
        self.tokens: dict[str, str] = {}  # token -> who got it, how
        self.callers: list[str] = []  # of ARM
        self.requests: list[tuple[str, str, Any]] = []  # to ARM: method, path, body
        self.answers: dict[tuple[str, str], tuple[int, Any]] = {}
        key = folder / "ca.key"
        make_certificate(self.certificate, key)
        self._secure, self._plain = self._server(), self._server()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        self._secure.socket = context.wrap_socket(self._secure.socket, server_side=True)
        self.url = f"https://localhost:{self._secure.server_port}"
        self.identity_url = f"http://127.0.0.1:{self._plain.server_port}/identity"
        for server in (self._secure, self._plain):
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        for server in (self._secure, self._plain):
            server.shutdown()
            server.server_close()

    def reset(self) -> None:
        for kept in (self.tokens, self.callers, self.requests, self.answers):
            kept.clear()
        self.subscriptions = {SUBSCRIPTION: "the only one"}

    def answer(self, method: str, url: str, headers: Any, body: bytes) -> tuple[int, Any]:
        path, query = urlsplit(url).path, parse_qs(urlsplit(url).query)
        if path == "/identity":
            return self._identity(method, query, headers, body)
        if path == "/metadata/endpoints":
            return 200, self._metadata()
        if path.endswith("/.well-known/openid-configuration"):
            base = f"{self.url}/{TENANT}/oauth2/v2.0"
            urls = {"authorization_endpoint": f"{base}/authorize", "token_endpoint": f"{base}/token"}
            return 200, {"issuer": f"{self.url}/{TENANT}/v2.0", **urls}
        if path.endswith("/oauth2/v2.0/token"):
            return self._login({name: value[0] for name, value in parse_qs(body.decode()).items()})
        caller = self.tokens.get(headers.get("Authorization", "").removeprefix("Bearer "))
        if not caller:
            return 401, {"error": {"code": "InvalidAuthenticationToken", "message": "The access token is invalid."}}
        self.callers.append(caller)
        self.requests.append((method, path, json.loads(body) if body else None))
        if path == "/subscriptions":
            return 200, {"value": [self._subscription(*item) for item in self.subscriptions.items()]}
        return self.answers.get((method, path), (404, {"error": {"code": "NotFound", "message": path}}))

    def _metadata(self) -> dict[str, Any]:
        """What `az cloud register` asks for."""
        login = {"loginEndpoint": self.url, "audiences": [AUDIENCE], "tenant": "common", "identityProvider": "AAD"}
        others = ("portal", "graphAudience", "gallery", "batch", "media", "sqlManagement", "vmImageAliasDoc")
        others += ("graphEndpoint",)  # the name of 2015, which azure-cli 2.67 takes
        suffixes = {"storage": STORAGE_SUFFIX, "keyVaultDns": "vault.standin", "sqlServerHostname": "sql.standin"}
        return {
            "name": "StandIn",
            "resourceManager": self.url,
            "authentication": login,
            "activeDirectoryDataLake": self.url,
            "suffixes": suffixes,
            **dict.fromkeys(others, self.url),
        }

    def _subscription(self, id_: str, name: str) -> dict[str, str]:
        more = {"tenantId": TENANT, "displayName": name, "state": "Enabled"}
        return {"id": f"/subscriptions/{id_}", "subscriptionId": id_, **more}

    def _login(self, form: dict[str, str]) -> tuple[int, Any]:
        secret = form.get("client_secret") == SECRET
        federated = form.get("client_assertion") == self.federated_token
        if form.get("client_id") != CLIENT or not (secret or federated):
            message = "AADSTS7000215: Invalid client secret provided."
            return 401, {"error": "invalid_client", "error_description": message}
        how = "secret" if secret else "federated"
        token = self._issue(how, form["scope"].removesuffix("/.default"))
        return 200, {"token_type": "Bearer", "expires_in": 3600, "access_token": token}

    def _identity(self, method: str, query: dict[str, list[str]], headers: Any, body: bytes) -> tuple[int, Any]:
        """What App Service (GET with its header) and Cloud Shell (POST) offer."""
        if method == "GET" and headers.get("X-IDENTITY-HEADER") == IDENTITY_HEADER:
            how, resource = "app service", query["resource"][0]
        elif method == "POST" and headers.get("Metadata") == "true":
            how, resource = "cloud shell", parse_qs(body.decode())["resource"][0]
        else:
            return 400, {"error": "invalid_request"}
        end = str(int(time.time()) + 3600)
        token = self._issue(how, resource)
        return 200, {"access_token": token, "expires_on": end, "resource": resource, "token_type": "Bearer"}

    def _issue(self, how: str, audience: str) -> str:
        claims = {"aud": audience, "tid": TENANT, "oid": TENANT, "exp": int(time.time()) + 3600, "n": len(self.tokens)}
        parts = [json.dumps(part).encode() for part in ({"alg": "none", "typ": "JWT"}, claims)]
        token = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + ".x"
        if audience == AUDIENCE:
            self.tokens[token] = how
        return token

    def _server(self) -> ThreadingHTTPServer:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, body = outer.answer(self.command, self.path, self.headers, content)
                data = b"" if body is None else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that trusts us not hangs up
        return server


@contextlib.contextmanager
def running(folder: Path) -> Iterator[StandIn]:
    stand_in = StandIn(folder)
    yield stand_in
    stand_in.close()


def make_certificate(certificate: Path, key_file: Path) -> None:
    """A certificate of localhost that is its own authority."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "batchai test")])
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    key_file.write_bytes(key.private_bytes(*private))
