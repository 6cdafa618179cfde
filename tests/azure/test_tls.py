"""The service speaks TLS when asked to, with an authority that vouches for names of this machine alone."""

import ipaddress
import os
import socket
import ssl
import stat
import urllib.request
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from azext_batchai.service import hosts
from azext_batchai.service.front import authority as authority_module
from azext_batchai.service.front.authority import Authority
from harness import processes
from harness.service import Service


@pytest.fixture
def started(home: Path) -> Service:
    service = Service(home)
    assert service.start()["status"] == "ready"
    return service


def open_front(service: Service, **wishes: str) -> dict[str, str]:
    status, _, facts = service.request("POST", "/_local/front", wishes)
    assert status == 200, facts
    return facts


def listeners(pid: int) -> int:
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(entry)
        except FileNotFoundError:  # closed since it was listed: it listens to nobody
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    return sum(1 for line in lines if line.split()[3] == "0A" and line.split()[9] in inodes)


def certificate_of(context: ssl.SSLContext, trusted: Path, name: str) -> dict[str, object]:
    """What a client that trusts only `trusted` sees of a server that uses `context`; raises SSLError."""
    client = ssl.create_default_context(cafile=str(trusted))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    here = client.wrap_bio(to_client, to_server, server_hostname=name)
    there = context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(10):
        for side in (here, there):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    found = here.getpeercert()
    assert found
    return found


def test_not_asked_for_there_is_neither_tls_nor_its_files(started: Service) -> None:
    assert listeners(started.info["pid"]) == 1
    assert not (started.home / "tls").exists()


def test_a_client_that_trusts_the_authority_is_served(started: Service) -> None:
    facts = open_front(started)
    context = ssl.create_default_context(cafile=facts["certificate"])
    request = urllib.request.Request(facts["endpoint"] + "/_local/status")
    request.add_header("Authorization", f"Bearer {started.info['token']}")
    with urllib.request.urlopen(request, context=context, timeout=10) as response:
        assert response.status == 200
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib.request.urlopen(facts["endpoint"], timeout=10)


def test_asked_twice_it_is_the_same_front(started: Service) -> None:
    assert open_front(started) == open_front(started)
    assert listeners(started.info["pid"]) == 3


def test_keys_are_for_their_owner_alone(started: Service) -> None:
    open_front(started)
    folder = started.home / "tls"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {path.name for path in folder.iterdir()} == {"ca.pem", "ca.key", "server.pem"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_a_killed_service_comes_back_at_the_same_ports_with_its_front(started: Service) -> None:
    before = open_front(started), started.info["endpoint"]
    authority = Path(before[0]["certificate"]).read_bytes()
    started.kill()
    assert started.start()["status"] == "ready"
    assert listeners(started.info["pid"]) == 3
    assert (open_front(started), started.info["endpoint"]) == before
    assert Path(before[0]["certificate"]).read_bytes() == authority


def test_a_port_that_somebody_else_took_is_replaced(started: Service) -> None:
    port = int(started.info["endpoint"].rpartition(":")[2])
    started.kill()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        processes.wait_until(lambda: other.connect_ex(("127.0.0.1", port)) != 0, "the port is free")
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        assert started.start()["status"] == "ready"
        assert started.info["endpoint"] != f"http://127.0.0.1:{port}"


def test_what_is_behind_the_front_lies_sealed(started: Service) -> None:
    open_front(started, proxy="http://me:very-secret@proxy.example:3128")
    for path in (started.home, *started.home.rglob("*")):
        if path.is_file():
            assert b"very-secret" not in path.read_bytes(), path


@pytest.mark.parametrize(
    "name", ["localhost", "127.0.0.1", "::1", hosts.RESOURCE_MANAGER, hosts.LOGIN, "a1.file.core.localhost"]
)
def test_the_certificate_is_good_for_our_names(tmp_path: Path, name: str) -> None:
    made = Authority(tmp_path, hosts.CERTIFIED)
    assert certificate_of(made.context, made.certificate, name)


@pytest.mark.parametrize("name", ["example.com", "notlocalhost", "10.0.0.1"])
def test_the_authority_cannot_vouch_for_other_names(tmp_path: Path, name: str) -> None:
    made = Authority(tmp_path, hosts.CERTIFIED)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(forged(tmp_path, name))
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        certificate_of(context, made.certificate, name)


def forged(folder: Path, name: str) -> Path:
    authority = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    signer = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    try:
        alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        alternative = x509.DNSName(name)
    now = datetime.now(timezone.utc)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "forged")])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    path = folder / "forged.pem"
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path.write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()) + made.public_bytes(encoding))
    return path


def test_the_certificate_is_renewed_while_the_service_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Authority(tmp_path, hosts.CERTIFIED)
    first = certificate_of(made.context, made.certificate, "localhost")["serialNumber"]
    assert certificate_of(made.context, made.certificate, "localhost")["serialNumber"] == first
    later = datetime.now(timezone.utc) + timedelta(days=380)
    monkeypatch.setattr(authority_module, "utc_now", lambda: later)
    made._renew()  # what each handshake calls
    leaf = x509.load_pem_x509_certificate((tmp_path / "server.pem").read_bytes().partition(b"-----END PRIVATE")[2][10:])
    assert leaf.not_valid_after_utc > later + timedelta(days=300)


def test_the_authority_lives_ten_years(tmp_path: Path) -> None:
    made = Authority(tmp_path, hosts.CERTIFIED)
    found = x509.load_pem_x509_certificate(made.certificate.read_bytes())
    assert timedelta(days=3650) < found.not_valid_after_utc - found.not_valid_before_utc < timedelta(days=3655)
    again = Authority(tmp_path, hosts.CERTIFIED)
    assert x509.load_pem_x509_certificate(again.certificate.read_bytes()).serial_number == found.serial_number
