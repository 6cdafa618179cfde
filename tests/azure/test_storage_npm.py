"""npm's storage clients, unmodified, against the accounts of the local cloud by their host names."""

import fcntl
import os
import shutil
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest

from harness.sandbox import CHECKOUT
from harness.service import Service
from wire import accounts

pytestmark = pytest.mark.documented
PACKAGES = ("@azure/storage-blob@12.32.0", "@azure/storage-file-share@12.31.0")

START = """
const [account, key] = process.argv.slice(2);
const assert = require("assert");
async function text(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
}
async function all(iterator) {
  const found = [];
  for await (const one of iterator) found.push(one);
  return found;
}
async function refused(promise) {
  try { await promise; } catch (error) { return error.code || error.details?.errorCode || error.statusCode; }
  return "done";
}
"""

BLOBS = """
const { BlobServiceClient, StorageSharedKeyCredential, ContainerSASPermissions } = require("@azure/storage-blob");
(async () => {
  const service = new BlobServiceClient(`https://${account}.blob.core.localhost`,
    new StorageSharedKeyCredential(account, key));
  const container = service.getContainerClient("node");
  await container.create({ metadata: { owner: "me" } });
  assert.equal((await container.getProperties()).metadata.owner, "me");
  const blob = container.getBlockBlobClient("a b/ü+c%20.txt");
  await blob.upload("hello", 5, { metadata: { k: "v" }, blobHTTPHeaders: { blobContentType: "x/y" } });
  const said = await blob.getProperties();
  assert.deepEqual([said.metadata, said.contentType, said.contentLength], [{ k: "v" }, "x/y", 5]);
  assert.equal((await text((await blob.download()).readableStreamBody)).toString(), "hello");
  const large = Buffer.alloc(20e6, "x");
  const parallel = container.getBlockBlobClient("large");
  await parallel.uploadData(large, { blockSize: 4 << 20, concurrency: 5, maxSingleShotSize: 1 << 20 });
  assert.equal((await parallel.downloadToBuffer(0, undefined, { concurrency: 5 })).compare(large), 0);
  const copy = container.getBlockBlobClient("copy");
  const poller = await copy.beginCopyFromURL(blob.url);
  assert.equal((await poller.pollUntilDone()).copyStatus, "success");
  await container.getBlockBlobClient("sync").syncCopyFromURL(blob.url);
  const names = (await all(container.listBlobsFlat({ includeMetadata: true }))).map((one) => one.name);
  assert.deepEqual(names, ["a b/ü+c%20.txt", "copy", "large", "sync"]);
  const level = (await all(container.listBlobsByHierarchy("/"))).map((one) => [one.kind, one.name]);
  assert.deepEqual(level[0], ["prefix", "a b/"]);
  const url = await container.generateSasUrl({
    permissions: ContainerSASPermissions.parse("rl"), expiresOn: new Date(Date.now() + 600000) });
  const { ContainerClient } = require("@azure/storage-blob");
  const signed = new ContainerClient(url);
  assert.equal((await all(signed.listBlobsFlat())).length, 4);
  assert.equal(await refused(signed.getBlockBlobClient("x").upload("1", 1)), "AuthorizationPermissionMismatch");
  assert.equal(await refused(container.getBlockBlobClient("none").download()), "BlobNotFound");
  await container.deleteBlob("copy");
  await container.delete();
  console.log("blobs done");
})().catch((error) => { console.error(error); process.exit(1); });
"""

FILES = """
const { ShareServiceClient, StorageSharedKeyCredential } = require("@azure/storage-file-share");
(async () => {
  const service = new ShareServiceClient(`https://${account}.file.core.localhost`,
    new StorageSharedKeyCredential(account, key));
  const share = service.getShareClient("node");
  await share.create({ quota: 5, metadata: { owner: "me" } });
  const shown = await share.getProperties();
  assert.deepEqual([shown.quota, shown.metadata.owner], [5, "me"]);
  const folder = share.getDirectoryClient("a b");
  await folder.create();
  const file = folder.getFileClient("ü+c%20.txt");
  await file.create(5, { metadata: { k: "v" }, fileHttpHeaders: { fileContentType: "x/y" } });
  await file.uploadRange("hello", 0, 5);
  const said = await file.getProperties();
  assert.deepEqual([said.metadata, said.contentType, said.contentLength], [{ k: "v" }, "x/y", 5]);
  assert.equal((await text((await file.download()).readableStreamBody)).toString(), "hello");
  const large = Buffer.alloc(20e6, "x");
  const parallel = folder.getFileClient("large");
  await parallel.uploadData(large, { rangeSize: 4 << 20, concurrency: 5 });
  assert.equal((await parallel.downloadToBuffer(undefined, 0, undefined, { concurrency: 5 })).compare(large), 0);
  assert.equal((await folder.getFileClient("copy").startCopyFromURL(file.url)).copyStatus, "success");
  await folder.getFileClient("copy").rename("a b/renamed");
  const names = (await all(folder.listFilesAndDirectories())).map((one) => [one.kind, one.name]);
  assert.deepEqual(names, [["file", "large"], ["file", "renamed"], ["file", "ü+c%20.txt"]]);
  assert.equal((await share.getStatistics()).shareUsageBytes, 20000010);
  assert.equal(await refused(folder.delete()), "DirectoryNotEmpty");
  await share.delete();
  console.log("files done");
})().catch((error) => { console.error(error); process.exit(1); });
"""


@pytest.fixture(scope="module")
def modules() -> Path:
    """The packages in a folder that is made at first use and kept in build/."""
    if not shutil.which("npm") or not shutil.which("node"):
        pytest.skip("npm and node are not installed")
    folder = CHECKOUT / "build" / "clients" / "npm-storage"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = "\n".join(PACKAGES)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several workers want it at once
        ready = folder / ".ready"
        if not ready.exists() or ready.read_text(encoding="utf-8") != wanted:
            command = ["npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", *PACKAGES]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"npm cannot install {' and '.join(PACKAGES)}: {done.stderr.strip()[-300:]}")
            ready.write_text(wanted, encoding="utf-8")
    return folder / "node_modules"


@pytest.mark.parametrize(("program", "said"), [(BLOBS, "blobs done"), (FILES, "files done")], ids=["blobs", "files"])
def test_a_program_of_its_usual_calls(service: Service, modules: Path, tmp_path: Path, program: str, said: str) -> None:
    facts: dict[str, Any] = service.request("POST", "/_local/front", {})[2]
    account = accounts.create(service, f"node{uuid.uuid4().hex[:12]}")
    path = tmp_path / "program.js"
    path.write_text(START + program, encoding="utf-8")
    env = {
        **os.environ,
        "HTTPS_PROXY": facts["proxy"],
        "NODE_EXTRA_CA_CERTS": facts["certificate"],
        "NODE_PATH": str(modules),
    }
    command = ["node", str(path), account.name, account.keys[0]]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, f"{said}\n"), done.stderr
