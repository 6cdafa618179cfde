"""A blob made of blocks by a service that is killed: the old one or the new one, each with its own blocks."""

from pathlib import Path

import pytest
from azure.core.exceptions import AzureError
from azure.storage.blob import BlobBlock, BlobClient, ContainerClient

from crash.conftest import Crashes
from wire import accounts

pytestmark = pytest.mark.invented
MOST = 40


@pytest.mark.parametrize("kind", ["COMMIT", "replace", "rename"])
@pytest.mark.parametrize("new", ["ac", "cd"], ids=["with blocks of the old one", "of new blocks alone"])
def test_a_kill_while_a_blob_is_made(crashes: Crashes, kind: str, new: str) -> None:
    account = accounts.create(crashes.service, "blocks")
    box = ContainerClient.from_connection_string(account.connection_string, "box", retry_total=0)
    box.create_container()
    blob, path = box.get_blob_client("b"), account.folder("blobs", "box") / "b"
    for point in range(1, MOST):
        stage(blob, "ab")
        commit(blob, "ab")
        stage(blob, new)
        crashes.service.kill()
        if not crashes.service.run({"CRASH_AT": f"{kind}:{point}"}):
            crashes.restart()
            continue
        try:
            commit(blob, new)
            done = True
        except AzureError:
            crashes.dies()
            done = False
        crashes.restart()
        if done:
            break
        made = names(blob, path)
        assert made in ("ab", new), f"{kind}:{point}"
        wanted = new if made == "ab" else f"{new}e"
        stage(blob, wanted[len(new) :])  # what is left of blocks that are in the blob is not taken for this one
        commit(blob, wanted)
        assert names(blob, path) == wanted
    else:
        pytest.fail(f"it had not come to its end after {MOST} points")
    assert point > 1 and names(blob, path) == new


def content(name: str) -> bytes:
    return name.encode() * 1000


def stage(blob: BlobClient, listed: str) -> None:
    for name in listed:
        blob.stage_block(name, content(name))


def commit(blob: BlobClient, listed: str) -> None:
    blob.commit_block_list([BlobBlock(name) for name in listed])


def names(blob: BlobClient, path: Path) -> str:
    """The blocks of which the blob was made, and that they are what is in it."""
    listed = "".join(block.id for block in blob.get_block_list("committed")[0])
    assert path.read_bytes() == b"".join(map(content, listed))
    return listed
