"""A wrapper around az as many have written it: stdout is JSON, and words on stderr alone are a failure."""

import json
import subprocess


def az(*words):
    done = subprocess.run(["az", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode or (done.stderr.strip() and not done.stdout.strip()):
        raise RuntimeError("az %s: %s" % (" ".join(words), done.stderr.decode()))
    return json.loads(done.stdout) if done.stdout.strip() else None


az("group", "create", "-n", "wrapped", "-l", "westeurope")
az("storage", "account", "create", "-n", "wrappedstorage", "-g", "wrapped", "-l", "westeurope")
[key, _] = az("storage", "account", "keys", "list", "-n", "wrappedstorage", "-g", "wrapped")
there = ("--account-name", "wrappedstorage", "--account-key", key["value"])
for share in ("logs", "scripts"):
    assert az("storage", "share", "create", "-n", share, *there)["created"]
az("storage", "directory", "create", "-s", "scripts", "-n", "demo", *there)
for name in ("train.py", "data.csv"):
    az("storage", "file", "upload", "-s", "scripts", "--source", name, "-p", "demo", "--no-progress", *there)
az("batchai", "workspace", "create", "-g", "wrapped", "-n", "ws")
where = ("-g", "wrapped", "-w", "ws")
az("batchai", "cluster", "create", *where, "-n", "c", "-s", "Standard_D2", "-t", "1", "-u", "me", "-p", "Passw0rd!demo")
az("batchai", "experiment", "create", *where, "-n", "e")
storage = ("--storage-account-name", "wrappedstorage", "--storage-account-key", key["value"])
az("batchai", "job", "create", *where, "-e", "e", "-n", "j", "-c", "c", "-f", "job.json", *storage)
az("batchai", "job", "wait", *where, "-e", "e", "-n", "j", "--only-show-errors")
job = az("batchai", "job", "show", *where, "-e", "e", "-n", "j")
assert job["executionInfo"]["exitCode"] == 0, job
names = [item["name"] for item in az("batchai", "job", "file", "list", *where, "-e", "e", "-j", "j")]
assert "stdout.txt" in names, names
az("group", "delete", "-n", "wrapped", "-y")
try:
    az("group", "show", "-n", "wrapped")
except RuntimeError as error:
    assert "ResourceGroupNotFound" in str(error), error
print("done")
