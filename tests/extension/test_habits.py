"""Defaults of the az configuration, names on TAB, and commands by the names that they have elsewhere."""

import os
import subprocess
from pathlib import Path

import pytest

from azext_batchai.command_line import names
from azext_batchai.command_line.suggestions import instead_of
from extension.jobs import CLUSTER, JOB, JOB_NOT_FOUND, WORKSPACE, job
from extension.scripted import Answer
from harness import az as az_module
from harness import surface
from harness.cluster import ok, wait_for_nodes
from harness.service import Service

pytestmark = pytest.mark.invented


@pytest.fixture
def defaults(monkeypatch: pytest.MonkeyPatch):
    """`defaults(workspace="w")`: what `az config set defaults.workspace=w` does, for one test."""

    def configure(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(f"AZURE_DEFAULTS_{name.upper()}", value)

    return configure


class TestDefaults:
    def test_of_places(self, az, server, defaults):
        defaults(group="g", workspace="w", experiment="e")
        server.expect("GET", JOB, job("running"))
        assert az("batchai", "job", "show", "-n", "j").code == 0
        server.expect("GET", f"{WORKSPACE}/clusters", Answer(200, {"value": []}))
        assert az("batchai", "cluster", "list").code == 0

    def test_the_command_line_comes_first(self, az, server, defaults):
        defaults(group="g", workspace="other", experiment="other")
        server.expect("GET", JOB, job("running"))
        assert az("batchai", "job", "show", "-w", "w", "-e", "e", "-n", "j").code == 0

    def test_without_any_they_are_required(self, az, server):
        assert "--workspace --experiment" in az("batchai", "job", "show", "-g", "g", "-n", "j").stderr

    @pytest.mark.parametrize("command", ["workspace show", "workspace delete --yes", "experiment delete --yes -w w"])
    def test_none_for_what_is_shown_or_deleted(self, az, server, defaults, command):
        defaults(group="g", workspace="w", experiment="e")
        done = az("batchai", *command.split())
        assert done.code
        assert "required" in done.stderr

    @pytest.mark.parametrize(
        ("words", "in_file", "default", "used"),
        [(("-c", "c"), "", "x", "c"), ((), CLUSTER, "x", "c"), ((), "", "c", "c"), ((), "", "", None)],
    )
    def test_the_cluster_of_a_job(self, az, server, defaults, write_json, words, in_file, default, used):
        if default:
            defaults(cluster=default)
        body = {"nodeCount": 1, **({"cluster": {"id": in_file}} if in_file else {})}
        if used:
            server.expect("GET", JOB, JOB_NOT_FOUND)
            server.expect("GET", CLUSTER, Answer(200, {"id": CLUSTER, "name": "c"}))
            server.expect("PUT", JOB, Answer(200, {"id": JOB, "name": "j"}))
        file = write_json("job.json", body)
        done = az("batchai", "job", "create", "-g", "g", "-w", "w", "-e", "e", "-n", "j", "-f", file, *words)
        assert done.code == (0 if used else 1)
        if not used:
            assert "on which cluster" in done.stderr

    @pytest.mark.parametrize("noun", ["workspace", "experiment", "cluster"])
    def test_help_says_so(self, az, noun):
        text = " ".join(az("batchai", "job", "create", "-h").output.split())
        assert f"az config set defaults.{noun}=NAME" in text

    def test_what_need_not_be_given_is_not_shown_as_required(self, az):
        lines = az("batchai", "job", "create", "-h").output.splitlines()
        [line] = [line for line in lines if "--cluster -c" in line]
        assert "[Required]" not in line


class TestSpot:
    @pytest.mark.parametrize("word", ["spot", "Spot", "lowpriority"])
    def test_is_low_priority(self, az, server, word):
        server.expect("GET", CLUSTER, Answer(404, {"error": {"code": "ClusterNotFound", "message": "m"}}))
        server.expect("PUT", CLUSTER, Answer(200, {"id": CLUSTER, "name": "c", "properties": {}}))
        common = ("-g", "g", "-w", "w", "-n", "c", "-s", "S", "-t", "0", "-u", "me", "-p", "pw")
        assert az("batchai", "cluster", "create", *common, "--vm-priority", word).code == 0
        assert server.requests[-1].body["properties"]["vmPriority"] == "lowpriority"

    def test_anything_else_is_refused(self, az, server):
        done = az("batchai", "cluster", "create", "-g", "g", "-w", "w", "-n", "c", "--vm-priority", "cheap")
        assert (done.code, "dedicated, lowpriority" in done.stderr.replace("'", "")) == (2, True)


class TestSuggestions:
    @pytest.mark.parametrize(
        ("typed", "meant"),
        [
            ("job cancel", "job terminate"),
            ("job stream", "job logs"),
            ("jobs", "job list"),
            ("jobs show", "job show"),
            ("jobs stop", "job terminate"),
            ("run", "job run"),
            ("cluster ssh", "cluster node ssh"),
            ("cluster scale", "cluster resize"),
            ("exp ls", "experiment list"),
            ("status", "local status"),
            ("stop", "local down"),
        ],
    )
    def test_names_of_elsewhere(self, az, typed, meant):
        done = az("batchai", *typed.split(), "-n", "x")
        assert (done.code, done.output) == (2, "")
        assert f"Did you mean `az batchai {meant}`?" in done.stderr
        assert f"batchai {meant}" in surface.commands("batchai")

    def test_none_of_ours_is_taken_for_another(self):
        for name in surface.commands("batchai"):
            words = tuple(name.split()[1:])
            assert all(not instead_of(words[:count]) for count in range(1, len(words) + 1)), name

    def test_others_are_left_to_the_cli(self):
        assert instead_of(("job", "lgs")) == ""
        assert instead_of(("nonsense",)) == ""
        assert instead_of(()) == ""


def tab(line: str) -> list[str]:
    """What is offered on TAB behind a command line, by an az of its own as a shell asks it."""
    file = Path(os.environ["AZURE_CONFIG_DIR"]) / "offered"
    file.unlink(missing_ok=True)
    asked = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "_ARGCOMPLETE_STDOUT_FILENAME": str(file)}
    place = {"COMP_LINE": f"az batchai {line}", "COMP_POINT": str(len(f"az batchai {line}")), "COMP_TYPE": "9"}
    subprocess.run(az_module.command(), env={**os.environ, **asked, **place}, capture_output=True, timeout=60)
    return sorted(word.strip() for word in file.read_text().splitlines() if word.strip())


@pytest.fixture(scope="module")
def lab(service: Service) -> str:
    """The id of a node."""
    in_workspace = ("-g", "research", "-w", "lab")
    ok(az_module.run("batchai", "workspace", "create", "-g", "research", "-n", "lab"))
    ok(az_module.run("batchai", "workspace", "create", "-g", "other", "-n", "lab2"))
    for name in ("first", "second"):
        ok(az_module.run("batchai", "experiment", "create", *in_workspace, "-n", name))
    common = ("-s", "Standard_D1", "-t", "1", "--use-auto-storage", "-u", "me", "-p", "pw")
    ok(az_module.run("batchai", "cluster", "create", *in_workspace, "-n", "Gpus", *common))
    wait_for_nodes("lab", "Gpus", idle=1)
    words = ("-g", "research", "-w", "lab", "-e", "first", "-c", "Gpus", "-n", "hello", "--", "echo hello")
    assert az_module.run("batchai", "job", "run", *words).code == 0
    return ok(az_module.run("batchai", "cluster", "node", "list", *in_workspace, "-c", "Gpus"))[0]["nodeId"]


class TestTab:
    @pytest.mark.parametrize(
        ("line", "offered"),
        [
            ("job show -g ", ["other", "research"]),
            ("job show -w ", ["lab", "lab2"]),
            ("job show -g research -w ", ["lab"]),
            ("workspace show -g other -n ", ["lab2"]),
            ("job list -g research -w lab -e f", ["first"]),
            ("experiment show -g research -w lab -n ", ["first", "second"]),
            ("cluster show -g research -w lab -n g", ["Gpus"]),
            ("job create -g research -w lab -c ", ["Gpus"]),
            ("job show -g research -w lab -e first -n ", ["hello"]),
            ("job file list -g research -w lab -e first -j ", ["hello"]),
            ("job file list -g research -w lab -e first -j hello -d ", ["stdouterr"]),
            ("job file stream -g research -w lab -e first -j hello -f ", ["execution.log", "stderr.txt", "stdout.txt"]),
            ("job show -g research -w nowhere -e first -n ", []),
            ("job show -e first -n ", []),
        ],
    )
    def test_names(self, lab, line, offered):
        assert tab(line) == offered

    def test_nodes(self, lab):
        assert tab("cluster node exec -g research -w lab -c Gpus -n ") == [lab]

    def test_defaults_count(self, lab, defaults):
        defaults(group="research", workspace="lab", experiment="first")
        assert tab("job show -n ") == ["hello"]

    def test_no_service_is_started(self, home: Path):
        assert tab("job show -g ") == []
        assert not (home / "service.json").exists()
        assert not (home / "service.log").exists()

    def test_nobody_elsewhere_is_asked(self, server):
        assert tab("job show -g ") == []
        assert server.requests == []

    def test_no_error_of_it_is_shown(self):
        def broken(*_: object) -> list[str]:
            raise OSError("down")

        assert names.offered(broken, None, "", None) == []
