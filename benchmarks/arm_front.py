"""An HTTPS front that makes the embedded service look like a cloud to stock azure-cli.

It answers what `az cloud register` and `az login` ask for and passes everything else on to the service, with the
service's token. The module that azure-cli ships can then be run unmodified against the same service.
"""

from __future__ import annotations

import base64
import datetime
import http.client
import http.server
import json
import ssl
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

TENANT = "11111111-1111-1111-1111-111111111111"


class Front:
    """The front for the service at `endpoint`; `certificate` is what clients must trust."""

    def __init__(self, folder: Path, endpoint: str, token: str, subscription: str) -> None:
        self.certificate = folder / "front.pem"
        key = folder / "front.key"
        _make_certificate(self.certificate, key)
        upstream = urlsplit(endpoint).netloc
        handler = type("Handler", (_Handler,), {"upstream": upstream, "token": token, "subscription": subscription})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://localhost:{self._server.server_port}"
        handler.url = self.url  # type: ignore[attr-defined]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer in one packet, at once: two would wait 40 ms for each other.
    wbufsize = 65536
    disable_nagle_algorithm = True
    url: str
    upstream: str
    token: str
    subscription: str
    _connection: http.client.HTTPConnection | None = None

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        if path == "/metadata/endpoints":
            self._json(self._metadata())
        elif path.endswith("/.well-known/openid-configuration"):
            base = f"{self.url}/{TENANT}"
            self._json(
                {
                    "issuer": f"{base}/v2.0",
                    "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                    "token_endpoint": f"{base}/oauth2/v2.0/token",
                }
            )
        elif path.endswith("/oauth2/v2.0/token"):
            self._json({"token_type": "Bearer", "expires_in": 86399, "access_token": _jwt(self.url)})
        elif path == "/subscriptions":
            self._json(
                {
                    "value": [
                        {
                            "id": f"/subscriptions/{self.subscription}",
                            "subscriptionId": self.subscription,
                            "tenantId": TENANT,
                            "displayName": "bench",
                            "state": "Enabled",
                        }
                    ]
                }
            )
        else:
            self._pass_on(body)

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = do_HEAD = _answer

    def _pass_on(self, body: bytes) -> None:
        if not self._connection:
            self._connection = http.client.HTTPConnection(self.upstream)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        self._connection.request(self.command, self.path, body or None, headers)
        response = self._connection.getresponse()
        data = response.read()
        self.send_response(response.status)
        inner = f"http://{self.upstream}/subscriptions/"  # operations and next pages; signed links need no front
        for name, value in response.getheaders():
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value.replace(inner, f"{self.url}/subscriptions/"))
        self._send(data.replace(inner.encode(), f"{self.url}/subscriptions/".encode()))

    def _json(self, value: object) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self._send(json.dumps(value).encode())

    def _send(self, data: bytes) -> None:
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def _metadata(self) -> dict[str, object]:
        return {
            "name": "BatchAIBench",
            "portal": self.url,
            "authentication": {
                "loginEndpoint": self.url,
                "audiences": [self.url],
                "tenant": "common",
                "identityProvider": "AAD",
            },
            "graphAudience": self.url,
            "resourceManager": self.url,
            "gallery": self.url,
            "batch": self.url,
            "media": self.url,
            "sqlManagement": self.url,
            "vmImageAliasDoc": self.url,
            "activeDirectoryDataLake": self.url,
            "suffixes": {
                "storage": "core.localhost",
                "keyVaultDns": "vault.localhost",
                "sqlServerHostname": "sql.localhost",
            },
        }

    def log_message(self, *_: object) -> None:
        pass


def _jwt(audience: str) -> str:
    now = int(time.time())
    claims = {"aud": audience, "tid": TENANT, "oid": TENANT, "appid": TENANT, "iat": now, "exp": now + 86400}
    parts = ({"alg": "none", "typ": "JWT"}, claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts) + ".x"


def _make_certificate(certificate: Path, key_file: Path) -> None:
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "batchai benchmark")])
    now = datetime.datetime.now(datetime.timezone.utc)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
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
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
