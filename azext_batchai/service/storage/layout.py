"""Where storage lives: every account is a folder, every share and container a plain folder in it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from urllib.parse import urlsplit

from azext_batchai.service.arm.errors import bad_request

ACCOUNT_PATTERN = re.compile(r"[a-z0-9]{3,24}")
SHARE_PATTERN = re.compile(r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]|\$root|\$web")

# KEPT is what jobs have written on no volume: it must not vanish with the node. LOGS are a node's own.
FILES, BLOBS, NFS, UNMANAGED, KEPT, LOGS = "files", "blobs", "nfs", "unmanaged", "kept", "logs"


class StorageLayout:
    """Folders of accounts, shares and containers below one root. Account names are unique, as in Azure.

    Those of file servers, and what nodes have mounted themselves, lie elsewhere in the state folder.
    """

    def __init__(self, home: Path) -> None:
        self.root = home / "storage"
        self.file_servers = home / "fileservers"
        self.nodes = home / "nodes"
        self.kept = home / "kept"

    def account(self, name: str) -> Path:
        """The folder of an account. Raises ArmError for a name that Azure would refuse."""
        name = name.lower()
        if not ACCOUNT_PATTERN.fullmatch(name):
            raise bad_request(
                f"'{name}' is not a valid storage account name: 3 to 24 lower-case letters and digits.",
                code="AccountNameInvalid",
            )
        return self.root / name

    def folder(self, account: str, service: str, name: str) -> Path:
        """The folder of a share (`service` FILES) or container (BLOBS), whether it exists or not.

        Of a file server (NFS) it is the one that `name` names in the server's own.
        """
        if service == NFS:
            return self.file_servers / Path(account).name / Path(name).name
        if service == KEPT:
            return self.kept / Path(account).name / Path(name).name
        if service == UNMANAGED:  # mounted on a node, at a path in which `:` stands for `/`
            return self.nodes / Path(account).name / "mounts" / Path(*name.split(":"))
        if service == LOGS:
            return self.nodes / Path(account).name / "logs"
        if not SHARE_PATTERN.fullmatch(name):
            raise bad_request(
                f"'{name}' is not a valid name: 3 to 63 lower-case letters, digits and single hyphens.",
                code="InvalidResourceName",
            )
        return self.account(account) / service / name

    def names(self, account: str, service: str) -> list[str]:
        folder = self.account(account) / service
        return sorted(entry.name for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []

    def remove_account(self, account: str) -> None:
        shutil.rmtree(self.account(account), ignore_errors=True)


def parse_file_share_url(url: str) -> tuple[str, str]:
    """Account and share of `https://<account>.file.<suffix>/<share>`. Raises ValueError for anything else."""
    parts = urlsplit(url)
    account, _, rest = parts.netloc.partition(".")
    share = parts.path.strip("/")
    if parts.scheme not in ("http", "https") or not rest.startswith("file.") or not share or "/" in share:
        raise ValueError(f"'{url}' is not an Azure file share URL (https://<account>.file.core.windows.net/<share>)")
    return account, share
