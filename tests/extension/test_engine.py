"""Which engine a new cluster is asked for: --engine, else its file, else the setting."""

import json
from pathlib import Path

import pytest

from harness.cluster import ok

PROFILES = {"flagged": {"type": "slurm"}, "filed": {"type": "slurm"}, "configured": {"type": "slurm"}}
WHERE = ("-g", "g", "-w", "w")


@pytest.mark.parametrize(
    ("flags", "beside", "setting", "chosen"),
    [
        (["--engine", "flagged"], {"engine": "filed"}, "configured", "flagged"),
        ([], {"engine": "filed"}, "configured", "filed"),
        ([], {}, "configured", "configured"),
        ([], {}, "", "local"),
    ],
)
def test_the_engine_of_a_new_cluster(az, home, tmp_path: Path, monkeypatch, flags, beside, setting, chosen):
    file = tmp_path / "cluster.json"
    size = {"vmSize": "STANDARD_D1", "scaleSettings": {"manual": {"targetNodeCount": 0}}}
    file.write_text(json.dumps({**beside, "properties": size}))
    ok(az("batchai", "local", "up"))  # the setting is read when the cluster is made, whoever started the service
    (home / "engines.json").write_text(json.dumps(PROFILES))
    if setting:
        monkeypatch.setenv("AZURE_BATCHAI_ENGINE", setting)
    ok(az("batchai", "workspace", "create", "-g", "g", "-n", "w", "-l", "eastus"))
    create = ("batchai", "cluster", "create", *WHERE, "-n", "c", "-f", str(file), "-u", "me", "-p", "Pass-w0rd-1")
    made = az(*create, *flags)
    ok(made)
    assert "unknown" not in made.stderr
    import sqlite3

    with sqlite3.connect(home / "state.db") as state:
        dumped = "\n".join(state.iterdump())
    assert f'"engine": "{chosen}"' in dumped or f'"engine":"{chosen}"' in dumped
    state.close()


def test_an_engine_there_is_not(az, home):
    ok(az("batchai", "workspace", "create", "-g", "g", "-n", "w", "-l", "eastus"))
    flags = ("--vm-size", "STANDARD_D1", "--target", "0", "-u", "me", "-p", "Pass-w0rd-1")
    done = az("batchai", "cluster", "create", *WHERE, "-n", "c", *flags, "--engine", "gpu")
    assert done.code == 1
    assert "There is no engine 'gpu'" in done.stderr
    assert str(home / "engines.json") in done.stderr


def test_the_engines_are_listed(az, home):
    ok(az("batchai", "local", "up"))
    assert ok(az("batchai", "local", "engines")) == [{"default": True, "name": "local", "type": "local"}]
    (home / "engines.json").write_text('{"x": {"type": "slurm", "partitio": "p"}}')
    done = az("batchai", "local", "engines")
    assert done.code == 1
    assert "Did you mean 'partition'?" in done.stderr
