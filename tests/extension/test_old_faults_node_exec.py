"""`node exec`: what the module of azure-cli does wrong, proved on it. What it does here is in test_node_exec.py."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from extension.builtin import OF_CLUSTER
from harness import ssh_node
from harness.ssh_node import PASSWORD, USER, SshNode


@pytest.fixture(scope="module")
def node() -> Iterator[SshNode]:
    with ssh_node.node() as made:
        yield made


@pytest.fixture
def clusters(node):
    """The cluster operations of an SDK client that knows this node."""
    login = SimpleNamespace(node_id="tvm-1", ip_address="127.0.0.1", port=float(node.port))
    account = SimpleNamespace(admin_user_name=USER)
    return SimpleNamespace(
        list_remote_login_information=lambda *_: [login],
        get=lambda *_: SimpleNamespace(user_account_settings=account),
    )


@pytest.fixture
def run(builtin, clusters, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)

    def execute(command: str) -> str:
        status = builtin.code.exec_on_node(clusters, *OF_CLUSTER, cmdline=command, password=PASSWORD)
        assert status is None
        return capsys.readouterr().out

    return execute


@pytest.mark.parametrize(
    ("command", "meant"),
    [
        ('printf "%s" "a  b"', "a  b"),
        ("printf %s '$HOME'", "$HOME"),
        ("printf %s '`echo x`'", "`echo x`"),
    ],
)
def test_quotes_dollars_and_backticks_are_mangled(run, command, meant):
    assert meant not in run(command)


def test_exit_status_is_lost(run):
    run("exit 7")  # asserts that there is none


def test_changed_host_key_is_accepted(builtin, run):
    """A new client for each command, which takes whatever key comes, and keeps none."""
    import paramiko

    policies = []
    accept = paramiko.AutoAddPolicy.missing_host_key

    class Policy(paramiko.AutoAddPolicy):
        def missing_host_key(self, *args: object) -> None:
            policies.append(args)
            accept(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builtin.code.paramiko, "AutoAddPolicy", Policy)
        run("true")
        run("true")
    assert len(policies) == 2


def test_forwards_listen_on_every_interface(builtin, clusters, monkeypatch):
    pytest.importorskip("sshtunnel")
    tunnels = []
    monkeypatch.setattr(builtin.code, "_create_tunnel", lambda *args: tunnels.append(args))
    builtin.code.exec_on_node(clusters, *OF_CLUSTER, ports=["8080:localhost:80"])
    assert tunnels[0][5] == [("0.0.0.0", 8080)]


@pytest.mark.parametrize("forward", ["127.0.0.1:8080:localhost:80", "/tmp/s:localhost:80", "8080:/tmp/s", "8080"])
def test_forwards_with_an_address_or_a_socket_break(builtin, clusters, monkeypatch, forward):
    pytest.importorskip("sshtunnel")
    monkeypatch.setattr(builtin.code, "_create_tunnel", lambda *_: None)
    with pytest.raises((ValueError, IndexError)):
        builtin.code.exec_on_node(clusters, *OF_CLUSTER, ports=[forward])
