"""State folders of earlier releases, as those releases left them (tests/fixtures)."""

import re
import shutil
import socket
import sqlite3
from pathlib import Path

from harness.sandbox import CHECKOUT

FIXTURES = CHECKOUT / "tests" / "fixtures"


def thaw(name: str, home: Path) -> None:
    """Make `home` the state folder `name`: state.sql as a database, with its paths and ports, and the files beside it.

    The release was killed: its jobs' tasks lie in the nodes' folders, under the boot id of another machine.
    """
    source = FIXTURES / name
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.copytree(source, home, dirs_exist_ok=True, ignore=shutil.ignore_patterns("state.sql"))
    (home / "secrets.key").chmod(0o600)
    sql = (source / "state.sql").read_text(encoding="utf-8").replace("{home}", str(home))
    for mark in sorted(set(re.findall(r"\{port\d\}", sql))):
        sql = sql.replace(mark, str(_free_port()))
    db = sqlite3.connect(home / "state.db")
    db.executescript("PRAGMA journal_mode=WAL;" + sql)
    for (node,) in db.execute("SELECT key FROM resources WHERE kind='node'"):
        for folder in ("home", "tmp", "bin", "logs", "mounts", "waste", "jobs"):
            (home / "nodes" / node.rsplit("/", 1)[1] / folder).mkdir(parents=True, exist_ok=True)
    db.close()
    for folder in ("files/share", "blobs/box"):
        (home / "storage" / "fixtureaccount" / folder).mkdir(parents=True, exist_ok=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
