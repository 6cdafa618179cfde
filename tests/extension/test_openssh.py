"""What the OpenSSH client is told about nodes."""

import stat
from pathlib import Path

import pytest
from azure.mgmt.batchai import models

from azext_batchai.jobs import ranks
from azext_batchai.ssh import forward, openssh
from azext_batchai.ssh.connection import Node

pytestmark = pytest.mark.invented


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "a user"))
    (tmp_path / "a user").mkdir()
    return tmp_path / "a user"


def node(folder: Path, **changes) -> Node:
    usual = {"node_id": "tvm-1", "address": "127.0.0.1", "port": 50001, "user_name": "demo"}
    return Node(**{**usual, "known_hosts": folder / "known hosts" / "c-1", **changes})


def test_the_command_line(user: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/ssh")
    line = openssh.command(node(user), "~/key", forward.parse("6006"), ["ls", "-l"])
    assert line[:3] == ["/usr/bin/ssh", "-F", "/dev/null"]
    assert line[-4:] == ["--", "tvm-1", "ls", "-l"]
    assert line[line.index("-L") + 1] == "127.0.0.1:6006:localhost:6006"
    assert f'IdentityFile="{user}/key"' in line
    assert "HostKeyAlias=tvm-1" in line


def test_forwards_alone_need_no_shell(user: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/ssh")
    assert "-N" in openssh.command(node(user), None, forward.parse("6006"), [])
    assert "-N" not in openssh.command(node(user), None, [], [])


def test_no_client(az, server, user: Path, monkeypatch: pytest.MonkeyPatch):
    from azure.cli.core.azclierror import FileOperationError

    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(FileOperationError, match="no ssh client"):
        openssh.program()


def test_default_keys_are_those_that_are_there(user: Path):
    (user / ".ssh").mkdir()
    (user / ".ssh" / "id_rsa").touch()
    assert [value for keyword, value in openssh.options(node(user), None) if keyword == "IdentityFile"] == [
        f'"{user}/.ssh/id_rsa"'
    ]


def test_percent_is_no_token():
    assert ("UserKnownHostsFile", "/100%%/k") in openssh.options(node(Path("/"), known_hosts=Path("/100%/k")), None)


def test_writing_keeps_what_there_is_and_includes_once(user: Path):
    main = user / ".ssh" / "config"
    main.parent.mkdir()
    main.write_text("Host other\n    Port 22\n")
    for text in ("Host c-0\n", "Host c-0\nHost c-1\n"):
        file = openssh.write_config("w-c", text)
        assert file.read_text() == text
    assert main.read_text() == f'Include "{user}/.ssh/batchai/*"\n\nHost other\n    Port 22\n'
    assert {stat.S_IMODE(path.stat().st_mode) for path in (main, file)} == {0o600}
    assert sorted(path.name for path in main.parent.iterdir()) == ["batchai", "config"]


def test_a_config_that_is_a_link_stays_one(user: Path):
    main = user / ".ssh" / "config"
    main.parent.mkdir()
    (user / "dotfiles").write_text("")
    main.symlink_to(user / "dotfiles")
    openssh.write_config("w-c", "Host c-0\n")
    assert main.is_symlink()
    assert "Include" in (user / "dotfiles").read_text()


def test_what_cannot_be_written(user: Path):
    from azure.cli.core.azclierror import FileOperationError

    (user / ".ssh").write_text("")
    with pytest.raises(FileOperationError, match="cannot be written"):
        openssh.write_config("w-c", "Host c-0\n")


@pytest.mark.parametrize("text", ["0", "65536", "²"])
def test_no_port(text):
    from azure.cli.core.azclierror import InvalidArgumentValueError

    with pytest.raises(InvalidArgumentValueError):
        forward.parse(text)


def job(tool: str, nodes: int, **settings) -> models.Job:
    made = models.Job()
    made.tool_type, made.node_count = tool, nodes
    for name, value in settings.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("of", "rank", "node"),
    [
        (job("pytorch", 2, py_torch_settings=models.PyTorchSettings(python_script_file_path="x", process_count=4)),
         "1", 0),
        (job("pytorch", 2, py_torch_settings=models.PyTorchSettings(python_script_file_path="x", process_count=4)),
         "2", 1),
        (job("pytorch", 2), "2", None),
        (job("custommpi", 2, custom_mpi_settings=models.CustomMpiSettings(command_line="x", process_count=3)), "1", 0),
        (job("custommpi", 2, custom_mpi_settings=models.CustomMpiSettings(command_line="x", process_count=3)), "2", 1),
        (job("custom", 2), "0", 0),
        (job("custom", 2), "1", None),
        (job("caffe2", 3), "2", 2),
        (job("tensorflow", 2, tensor_flow_settings=models.TensorFlowSettings(python_script_file_path="x")), "1", 1),
        (job("tensorflow", 2, tensor_flow_settings=models.TensorFlowSettings(python_script_file_path="x")), "ps-0", 0),
    ],
)  # fmt: skip
def test_the_node_of_a_rank(of, rank, node):
    assert ranks.node_index(of, rank) == node
