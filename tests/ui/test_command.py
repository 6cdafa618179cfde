"""`az batchai local ui`: prints an address that lets in, opens it by way of a private file, ends sessions."""

import json
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.processes import wait_until
from harness.service import Service
from ui.visitor import Visitor

pytestmark = pytest.mark.invented


@pytest.fixture
def browser_stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A browser that writes down how it was called, what it was led to, and chatters; the file that it writes."""
    seen = tmp_path / "seen.json"
    program = tmp_path / "browser"
    program.write_text(
        f"#!{sys.executable}\n"
        "import json, pathlib, sys, urllib.parse, urllib.request\n"
        "file = pathlib.Path(urllib.request.url2pathname(urllib.parse.urlsplit(sys.argv[-1]).path))\n"
        "facts = {'argv': sys.argv, 'page': file.read_text(), 'mode': file.stat().st_mode}\n"
        f"pathlib.Path({str(seen)!r}).write_text(json.dumps(facts))\n"
        "print('chatter of a browser')\n",
        encoding="utf-8",
    )
    program.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(program))
    return seen


def lets_in(service: Service, address: str) -> bool:
    visitor = Visitor(service)
    assert address.startswith(f"{visitor.endpoint}/ui/enter?code=")
    return visitor.get(address[len(visitor.endpoint) :]).status == 200


def test_it_starts_the_service_and_prints_an_address(az: Any, home: Path) -> None:
    done = az("batchai", "local", "ui")
    assert done.code == 0
    assert done.stderr.startswith("WARNING: Started the local Batch AI service")
    [address] = done.output.splitlines()
    assert lets_in(Service(home), address)
    assert not (home / "ui.html").exists()  # there is no desktop, so nothing is opened


@pytest.mark.parametrize("how", [("-o", "json"), ("-o", "tsv"), ("--query", "address", "-o", "tsv"), ("-o", "table")])
def test_the_address_as_data(az: Any, service: Service, how: tuple[str, ...]) -> None:
    done = az("batchai", "local", "ui", *how)
    assert (done.code, done.stderr) == (0, "")
    if how == ("-o", "json"):
        assert set(json.loads(done.output)) == {"address"}
        address = json.loads(done.output)["address"]
    else:
        address = done.output.split()[-1]
    assert lets_in(service, address)


def test_a_browser_is_opened_without_the_code_among_its_arguments(
    az_process: Any, service: Service, browser_stub: Path
) -> None:
    done = az_process("batchai", "local", "ui", "--open")
    assert done.code == 0, done.stderr
    [address] = done.output.splitlines()  # what the browser says is not part of the result
    facts = json.loads(wait_until(lambda: browser_stub.exists() and browser_stub.read_text(), "the browser has run"))
    code = address.rpartition("=")[2]
    assert len(code) > 20
    assert code not in " ".join(facts["argv"])
    assert facts["argv"][1:] == [(service.home / "ui.html").as_uri()]
    assert address in facts["page"]
    assert stat.S_IMODE(facts["mode"]) == 0o600
    assert lets_in(service, address)
    assert not (service.home / "ui.html").exists()


def test_data_stays_data_where_a_browser_is_opened(az_process: Any, service: Service, browser_stub: Path) -> None:
    done = az_process("batchai", "local", "ui", "--open", "-o", "json")
    assert set(done.json()) == {"address"}
    wait_until(browser_stub.exists, "the browser has run")


def test_no_browser_is_opened_with_print(
    az: Any, service: Service, browser_stub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    done = az("batchai", "local", "ui", "--print")
    assert (done.code, done.stderr) == (0, "")
    assert not browser_stub.exists()
    assert lets_in(service, done.output.strip())


def test_both_at_once_are_refused(az: Any, service: Service) -> None:
    done = az("batchai", "local", "ui", "--print", "--open")
    assert done.code != 0
    assert "--print" in done.stderr


def test_where_no_browser_is_found_the_address_is_there_all_the_same(
    az_process: Any, service: Service, tmp_path: Path
) -> None:
    environment = {"BROWSER": str(tmp_path / "nothing"), "PATH": str(tmp_path)}
    done = az_process("batchai", "local", "ui", "--open", env=environment)
    assert done.code == 0
    assert "open the address yourself" in done.stderr
    assert lets_in(service, done.output.strip())


def test_revoke(az: Any, service: Service) -> None:
    visitor = Visitor(service).sign_in(service)
    address = az("batchai", "local", "ui").output.strip()
    done = az("batchai", "local", "ui", "--revoke")
    assert (done.code, done.output) == (0, "")
    assert "Sessions that were ended: " in done.stderr
    assert visitor.get("/ui/").status == 401
    assert not lets_in(service, address)


@pytest.mark.parametrize("other", ["--open", "--print"])
def test_revoke_goes_with_nothing_else(az: Any, service: Service, other: str) -> None:
    done = az("batchai", "local", "ui", "--revoke", other)
    assert done.code != 0
    assert "--revoke ends sessions" in done.stderr


def test_revoke_starts_no_service(az: Any, home: Path) -> None:
    done = az("batchai", "local", "ui", "--revoke")
    assert done.code == 0
    assert "Sessions that were ended: 0." in done.stderr
    assert not (home / "service.json").exists()


@pytest.mark.parametrize(
    ("endpoint", "where"), [("https://batch.example:8443/", "https://batch.example:8443"), ("arm", "Azure")]
)
def test_it_shows_this_machine_wherever_commands_go(
    az: Any, service: Service, monkeypatch: pytest.MonkeyPatch, endpoint: str, where: str
) -> None:
    monkeypatch.setenv("AZURE_BATCHAI_ENDPOINT", endpoint)
    done = az("batchai", "local", "ui", "--print")
    assert done.code == 0
    assert f"Other commands go to {where}; the page is that of the service on this machine." in done.stderr
    assert lets_in(service, done.output.strip())


def test_over_ssh_it_says_how_to_reach_it(az: Any, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.1 50000 10.0.0.2 22")
    done = az("batchai", "local", "ui")
    port = service.info["endpoint"].rpartition(":")[2]
    assert f"ssh -L {port}:127.0.0.1:{port}" in done.stderr
