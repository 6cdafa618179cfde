"""A state folder keeps the ports of its service where they are free."""

from pathlib import Path

import pytest

from azext_batchai.service.ports import PortError, Ports


def port_of(ports: Ports, name: str, wanted: int = 0) -> int:
    with ports.listen(name, wanted) as listener:
        return int(listener.getsockname()[1])


def test_a_port_is_kept_for_the_next_start(tmp_path: Path) -> None:
    first = port_of(Ports(tmp_path), "http")
    assert port_of(Ports(tmp_path), "http") == first


def test_listeners_have_ports_of_their_own(tmp_path: Path) -> None:
    ports = Ports(tmp_path)
    with ports.listen("http") as listener:
        other = port_of(ports, "tls")
        assert other != listener.getsockname()[1]
    assert port_of(ports, "tls") == other


def test_a_port_that_is_taken_meanwhile_is_replaced(tmp_path: Path) -> None:
    ports = Ports(tmp_path)
    with ports.listen("http") as listener:
        new = port_of(ports, "http")
        assert new != listener.getsockname()[1]
    assert port_of(ports, "http") == new


def test_a_port_that_is_asked_for_is_kept_too(tmp_path: Path) -> None:
    ports = Ports(tmp_path)
    wanted = port_of(ports, "other")
    assert port_of(ports, "http", wanted) == wanted
    assert port_of(ports, "http") == wanted


def test_a_port_that_is_asked_for_and_taken_is_an_error(tmp_path: Path) -> None:
    ports = Ports(tmp_path)
    with ports.listen("http") as listener, pytest.raises(PortError, match="cannot be used"):
        ports.listen("other", listener.getsockname()[1])


@pytest.mark.parametrize("content", ["", "[]", '{"http": "x"}', '{"http": null}', '{"http": 99999999}', "\udcff"])
def test_a_damaged_file_is_no_obstacle(tmp_path: Path, content: str) -> None:
    (tmp_path / "ports.json").write_text(content, errors="surrogateescape")
    assert port_of(Ports(tmp_path), "http")
