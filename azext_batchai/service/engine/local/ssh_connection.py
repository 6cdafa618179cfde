"""An SSH connection to a node, where asyncssh's own is not enough: logins of many clients, and of too many."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable

import asyncssh
from asyncssh.packet import SSHPacket

# Who knows the host key's ed25519 knows curve25519. The pattern takes in its post-quantum hybrids where they can be
# had; it leaves out the groups of 1024 and 2048 bits, the curves of NIST and whatever signs with SHA-1.
KEY_EXCHANGES = "*25519*"
# OpenSSH prefers chacha20-poly1305, which asyncssh runs at half the speed of AES-GCM.
CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr")
# The last two are for libssh2 1.10 and dropbear, which have neither AES-GCM nor the MACs of ciphertext.
MACS = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512")
SIGNATURES = (
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
WAITING_CONNECTIONS = 100  # as sshd's MaxStartups
# A connection that finds the queue full tries again after a second; asyncio accepts as many at once, each a descriptor.
BACKLOG = 256

_MSG_SERVICE_REQUEST = 5  # RFC 4253, section 12
_USERAUTH_SERVICE = b"ssh-userauth"


class NodeConnection(asyncssh.SSHServerConnection):
    """A server connection that takes what sshd takes. The private names that it uses are guarded by tests."""

    def _get_extra_kex_algs(self) -> list[bytes]:
        """Say by which rule a guessed first packet of the key exchange counts.

        By RFC 4253 it counts only where both sides prefer the same; asyncssh takes it whenever the client's preference
        is chosen, so dropbear's client, which guesses, sends it twice and is disconnected. This name, which dropbear
        gave to asyncssh's rule, makes both go by it.
        """
        return [*super()._get_extra_kex_algs(), b"kexguess2@matt.ucc.asn.au"]

    def process_packet(self, pkttype: int, pktid: int, packet: SSHPacket) -> bool | Awaitable[None]:
        """Answer every request for the authentication service, as sshd does.

        paramiko and others ask for it again before each attempt; asyncssh takes the second for a request of an
        unknown service and disconnects, so that who has any key that does not fit could never give a password.
        """
        if pkttype == _MSG_SERVICE_REQUEST and self._auth_in_progress:
            self._next_service = _USERAUTH_SERVICE
        return super().process_packet(pkttype, pktid, packet)

    async def validate_public_key(self, username: str, key_data: bytes, msg: bytes, signature: bytes) -> bool:
        """Refuse signatures that were not offered: asyncssh would verify SHA-1 (ssh-rsa) all the same."""
        if msg and _algorithm(signature) not in SIGNATURES:
            return False
        return await super().validate_public_key(username, key_data, msg, signature)

    def data_received(self, data: bytes, datatype: int | None = None) -> None:
        """Acknowledge at once until the client has logged in: `ssh host true` takes 11 ms instead of 60 to 100.

        Until then OpenSSH's client sends its small packets with Nagle's algorithm: each waits until the one before is
        acknowledged, which Linux delays by 40 ms unless it is told otherwise after every packet.
        """
        if not self._auth_complete and hasattr(socket, "TCP_QUICKACK"):
            with contextlib.suppress(OSError):
                self.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        super().data_received(data, datatype)


class WaitingRoom:
    """The connections that have not logged in yet; a new one beyond the limit takes the place of the oldest.

    A login takes milliseconds, so the oldest is one that does nothing. sshd refuses the new ones instead, which lets
    a hundred idle connections lock everybody out until its time-out for logins has passed.
    """

    def __init__(self) -> None:
        self._waiting: dict[asyncssh.SSHServerConnection, None] = {}

    def enter(self, connection: asyncssh.SSHServerConnection) -> None:
        if len(self._waiting) >= WAITING_CONNECTIONS:
            oldest = next(iter(self._waiting))
            self.leave(oldest)
            oldest.abort()
        self._waiting[connection] = None

    def leave(self, connection: asyncssh.SSHServerConnection) -> None:
        self._waiting.pop(connection, None)


async def listen(host: str, port: int, **options: object) -> asyncio.Server:
    """As asyncssh.listen(), which makes no connections but its own. Raises OSError."""
    made = await asyncssh.SSHServerConnectionOptions.construct(
        kex_algs=KEY_EXCHANGES,
        encryption_algs=CIPHERS,
        mac_algs=MACS,
        signature_algs=SIGNATURES,
        gss_host=None,
        **options,
    )
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: NodeConnection(loop, made), host, port, backlog=BACKLOG)


def _algorithm(signature: bytes) -> str:
    length = int.from_bytes(signature[:4], "big")
    return signature[4 : 4 + length].decode("ascii", "replace")
