"""The key that the nodes of a service log in to each other with."""

import asyncio
from pathlib import Path

import asyncssh

from azext_batchai.service.engine.local import node_ssh


def test_nodes_allocated_at_the_same_time_get_one_key(tmp_path: Path) -> None:
    async def allocate() -> list[str]:
        return await asyncio.gather(*(node_ssh.provide_key(tmp_path / "node_key") for _ in range(8)))

    given = set(asyncio.run(allocate()))
    private = asyncssh.read_private_key(tmp_path / "node_key")
    assert given == {private.export_public_key().decode().strip()}
