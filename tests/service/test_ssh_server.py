"""A node's SSH endpoint, driven by the stock OpenSSH client, by asyncssh and by paramiko."""

import asyncio
import hashlib
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import processes, ssh_node
from harness.ssh_node import PASSWORD, USER, SshNode, connected, in_loop

TRICKY = (
    """printf '%s|' "$AZ_BATCHAI_NODE" '$HOME `id` "x"' "it's" "a\\\\b" """
    """$(echo sub) `echo tick` *  "tab\tend"; echo ';&'"""
)
TRICKY_ANSWER = b'n-1|$HOME `id` "x"|it\'s|a\\b|sub|tick|*|tab\tend|;&\n'


@pytest.fixture(scope="module")
def shared_node() -> Iterator[SshNode]:
    with ssh_node.node() as made:
        yield made


@pytest.fixture
def node(shared_node: SshNode) -> SshNode:
    shared_node.clear_home()
    return shared_node


def test_importing_the_module_is_free() -> None:
    code = (
        "import sys, azext_batchai.service.engine.local.ssh_server\n"
        "print([m for m in ('asyncssh', 'cryptography', 'pty', 'termios') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


@ssh_node.needs("ssh")
class TestCommands:
    def test_output_errors_and_exit_status_are_exact(self, node: SshNode) -> None:
        done = node.ssh("printf 'o\\0ut'; printf err >&2; exit 7")
        assert (done.returncode, done.stdout, done.stderr) == (7, b"o\0ut", b"err")

    def test_nothing_is_printed_that_the_command_did_not_print(self, node: SshNode) -> None:
        done = node.ssh("true")
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")

    def test_the_command_arrives_as_sent(self, node: SshNode) -> None:
        assert node.ssh(TRICKY).stdout == TRICKY_ANSWER

    def test_several_lines_and_no_final_newline(self, node: SshNode) -> None:
        assert node.ssh("cat <<'X'\n$a `b`\nX\nprintf end").stdout == b"$a `b`\nend"

    def test_runs_in_the_home_and_environment_of_the_node(self, node: SshNode) -> None:
        done = node.ssh("pwd; echo $HOME; echo $USER $LOGNAME $AZ_BATCHAI_NODE; echo ${SSH_CONNECTION%% *}")
        home = str(node.home)
        assert done.stdout.decode().splitlines() == [home, home, f"{USER} {USER} n-1", "127.0.0.1"]

    def test_takes_only_the_language_from_the_client(self, node: SshNode) -> None:
        env = {**os.environ, "LC_TIME": "C.UTF-8", "SECRET": "x", "AZ_BATCHAI_NODE": "other"}
        send = "SendEnv=LC_TIME SECRET AZ_BATCHAI_NODE"
        done = node.ssh("-o", send, "echo $LC_TIME-$SECRET-$AZ_BATCHAI_NODE", env=env)
        assert done.stdout == b"C.UTF-8--n-1\n"

    @pytest.mark.parametrize("status", [0, 1, 127, 128, 254, 255])
    def test_exit_status(self, node: SshNode, status: int) -> None:
        assert node.ssh(f"exit {status}").returncode == status

    def test_gets_a_process_group_and_session_of_its_own(self, node: SshNode) -> None:
        pid, group, session = node.ssh("ps -o pid=,pgid=,sid= -p $$").stdout.split()
        assert pid == group == session

    def test_input_reaches_the_command_whole(self, node: SshNode) -> None:
        data = os.urandom(5_000_000)
        assert node.ssh("cat", input=data).stdout == data

    def test_a_command_that_reads_no_input_ends(self, node: SshNode) -> None:
        assert node.ssh("exit 3", input=bytes(5_000_000)).returncode == 3

    def test_twenty_megabytes_arrive_whole(self, node: SshNode) -> None:
        data = os.urandom(20_000_000)
        (node.home / "big").write_bytes(data)
        assert hashlib.sha256(node.ssh("cat big").stdout).digest() == hashlib.sha256(data).digest()

    def test_output_nobody_reads_is_not_kept_in_memory(self, node: SshNode) -> None:
        node.ssh("true")
        before = _resident_mib()
        client = subprocess.Popen(node.ssh_command("yes"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        grown = _resident_mib() - before
        client.kill()
        client.communicate()
        processes.wait_until(lambda: not processes.of_home(node.home), "yes has ended with its client")
        assert grown < 16

    def test_input_nobody_reads_is_not_kept_in_memory(self, node: SshNode) -> None:
        node.ssh("true")
        before = _resident_mib()
        with Path("/dev/zero").open("rb") as zeros:
            client = subprocess.Popen(node.ssh_command("echo ready; sleep 100"), stdin=zeros, stdout=subprocess.PIPE)
            assert client.stdout and client.stdout.readline() == b"ready\n"
            time.sleep(0.5)
            grown = _resident_mib() - before
            client.kill()
            client.communicate()
        assert grown < 16

    def test_ended_by_a_signal(self, node: SshNode) -> None:
        assert node.ssh("kill -9 $$").returncode == 255  # what OpenSSH makes of exit-signal

    def test_a_terminal(self, node: SshNode) -> None:
        done = node.ssh("-tt", "tty; stty size; echo hi >/dev/tty; exit 4")
        lines = done.stdout.decode().split("\r\n")
        assert lines[0].startswith("/dev/") and lines[2] == "hi" and done.returncode == 4

    def test_a_terminal_is_given_up_whole_when_its_shell_ends(self, node: SshNode) -> None:
        command = "trap '' HUP; sleep 100 & seq 30000; echo $! end; exit 4"
        client = subprocess.Popen(node.ssh_command("-tt", command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        time.sleep(0.2)
        out, _ = client.communicate(timeout=10)
        lines = out.decode().split("\r\n")
        pid, last = lines[-2].split()
        os.kill(int(pid), signal.SIGKILL)
        assert (client.returncode, last, lines[-3]) == (4, "end", "30000")

    def test_background_processes_outlive_the_command_but_not_the_endpoint(self) -> None:
        with ssh_node.node() as node:
            assert node.ssh("nohup sleep 100 >/dev/null 2>&1 & exit 0").returncode == 0
            processes.wait_until(lambda: "sleep 100" in processes.of_home(node.home).values(), "sleep runs")
            time.sleep(0.1)
            assert "sleep 100" in processes.of_home(node.home).values()
            node.close()  # asserts that nothing is left

    def test_what_ignores_term_is_killed(self) -> None:
        with ssh_node.node() as node:
            client = subprocess.Popen(
                node.ssh_command("trap '' TERM HUP; echo ready; while :; do sleep 1; done"), stdout=subprocess.PIPE
            )
            assert client.stdout and client.stdout.readline() == b"ready\n"
            started = time.monotonic()
            node.close()
            assert time.monotonic() - started < 4
            client.communicate(timeout=10)
            assert client.returncode == 255


def _resident_mib() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20


class TestSessions:
    """What the stock client shows only to a person at a terminal."""

    def test_login_shell_on_a_terminal(self, node: SshNode) -> None:
        async def work() -> tuple[str, int | None]:
            async with connected(node) as connection:
                shell = await connection.create_process(term_type="xterm", term_size=(81, 25))
                shell.stdin.write("echo; shopt -q login_shell && echo log''in; stty size; pwd\nexit 5\n")
                done = await shell.wait()
                return str(done.stdout), done.exit_status

        output, status = in_loop(work())
        assert status == 5
        assert {"login", "25 81", str(node.home)} <= set(output.replace("\r", "").splitlines())

    def test_shell_without_a_terminal(self, node: SshNode) -> None:
        async def work() -> tuple[str, int | None]:
            async with connected(node) as connection:
                done = await connection.run(input="echo hello\nexit 6\n")
                return str(done.stdout), done.exit_status

        assert in_loop(work()) == ("hello\n", 6)

    def test_terminal_resize(self, node: SshNode) -> None:
        async def work() -> tuple[str, str]:
            async with connected(node) as connection:
                command = "stty size; trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.01; done"
                process = await connection.create_process(command, term_type="xterm", term_size=(80, 24))
                first = await process.stdout.readline()
                await process.stdout.readline()
                process.change_terminal_size(132, 50)
                return first, await process.stdout.readline()

        assert in_loop(work()) == ("24 80\r\n", "50 132\r\n")

    def test_ctrl_c_on_a_terminal(self, node: SshNode) -> None:
        async def work() -> Any:
            async with connected(node) as connection:
                process = await connection.create_process("echo ready; exec sleep 100", term_type="xterm")
                await process.stdout.readline()
                process.stdin.write("\x03")
                return (await process.wait()).exit_signal

        assert in_loop(work())[0] == "INT"

    def test_terminal_modes_of_the_client(self, node: SshNode) -> None:
        async def work() -> str:
            import asyncssh

            async with connected(node) as connection:
                modes = {asyncssh.PTY_ECHO: 0, asyncssh.PTY_VINTR: 7, asyncssh.PTY_ONLCR: 0}
                done = await connection.run("stty -a", term_type="xterm", term_modes=modes)
                return str(done.stdout)

        settings = in_loop(work())
        assert re.search(r"intr = \^G;", settings) and {"-echo", "-onlcr", "opost"} <= set(settings.split())
        assert "\r" not in settings

    def test_end_of_input_ends_a_program_on_a_terminal(self, node: SshNode) -> None:
        async def work() -> int | None:
            async with connected(node) as connection:
                return (await connection.run("cat", input="x\n", term_type="xterm")).exit_status

        assert in_loop(work()) == 0

    @pytest.mark.parametrize("name", ["TERM", "INT", "KILL"])
    def test_signals_reach_the_command_and_are_reported(self, node: SshNode, name: str) -> None:
        async def work() -> Any:
            async with connected(node) as connection:
                process = await connection.create_process("echo ready; sleep 100; sleep 100")
                await process.stdout.readline()
                process.send_signal(name)
                return (await process.wait()).exit_signal

        assert in_loop(work())[0] == name

    def test_fifty_sessions_without_a_thread_for_each(self, node: SshNode) -> None:
        async def work() -> tuple[list[str], int]:
            async with connected(node) as connection:
                runs = [asyncio.ensure_future(connection.run(f"read x; echo {i}")) for i in range(50)]
                await asyncio.sleep(0.2)
                threads = threading.active_count()
                for process in runs:
                    process.cancel()
                done = await asyncio.gather(*(connection.run(f"echo {i}") for i in range(50)))
                return [str(one.stdout).strip() for one in done], threads

        before = threading.active_count()
        answers, threads = in_loop(work())
        assert answers == [str(i) for i in range(50)]
        assert threads <= before + 6  # the loop's few helpers, not fifty

    def test_a_lost_client_hangs_up_what_it_ran(self, node: SshNode) -> None:
        def running() -> dict[str, int]:
            return {line: pid for pid, line in processes.of_home(node.home).items()}

        async def work() -> None:
            async with connected(node) as connection:
                await connection.create_process("(trap '' HUP; exec sleep 101) & exec sleep 102")
                processes.wait_until(lambda: {"sleep 101", "sleep 102"} <= set(running()), "both run")
                connection.abort()

        in_loop(work())
        processes.wait_until(lambda: "sleep 102" not in running(), "sleep 102 has ended")
        os.kill(running()["sleep 101"], signal.SIGKILL)

    def test_what_the_system_does_not_take_is_said_or_left_out(self, node: SshNode) -> None:
        async def work() -> list[Any]:
            async with connected(node) as connection:
                long = await connection.run("true " + "a" * 200_000)
                nul = await connection.run("true a\0b")
                env = {"LC_TIME": b"\xff", "LC_NAME": b"a\0b"}
                odd = await connection.run('printf %s "$LC_TIME-$LC_NAME"', env=env, encoding=None)
                return [(done.exit_status, done.stderr or done.stdout) for done in (long, nul, odd)]

        said = "This node cannot start a process: "
        assert in_loop(work()) == [
            (255, f"{said}[Errno 7] Argument list too long: '{shutil.which('bash')}'\r\n"),
            (255, f"{said}embedded null byte\r\n"),
            (0, b"\xff-"),
        ]

    def test_a_stopped_command_ends_with_its_connection(self, node: SshNode) -> None:
        async def work() -> None:
            async with connected(node) as connection:
                process = await connection.create_process("echo ready; exec sleep 103")
                await process.stdout.readline()
                process.send_signal("STOP")
                connection.abort()

        in_loop(work())
        processes.wait_until(lambda: not processes.of_home(node.home), "sleep 103 has ended")

    def test_an_environment_that_cannot_be_had_is_an_error_for_the_client(self) -> None:
        def broken() -> dict[str, str]:
            raise RuntimeError("the node is being removed")

        async def work(node: SshNode) -> tuple[int | None, str]:
            async with connected(node) as connection:
                done = await connection.run("true")
                return done.exit_status, str(done.stderr)

        with ssh_node.node(environment=broken) as node:
            assert in_loop(work(node)) == (255, "This node cannot start a process: the node is being removed\r\n")


class TestLogin:
    @pytest.mark.parametrize("kind", ["ed25519", "rsa"])
    @ssh_node.needs("ssh")
    def test_by_key(self, node: SshNode, kind: str) -> None:
        assert node.ssh("echo in", key=kind).stdout == b"in\n"

    @ssh_node.needs("ssh")
    def test_by_password(self, node: SshNode) -> None:
        assert node.ssh("echo in", key=None, env=node.askpass(PASSWORD)).stdout == b"in\n"

    @ssh_node.needs("ssh")
    def test_by_wrong_password(self, node: SshNode) -> None:
        done = node.ssh("echo in", key=None, env=node.askpass("wrong"))
        assert (done.returncode, done.stdout) == (255, b"") and b"Permission denied" in done.stderr

    @ssh_node.needs("ssh")
    @pytest.mark.parametrize("user", [USER.upper(), "root"])
    def test_as_somebody_else(self, node: SshNode, user: str) -> None:
        assert node.ssh("echo in", user=user).returncode == 255
        assert node.ssh("echo in", user=user, key=None, env=node.askpass(PASSWORD)).returncode == 255

    def test_by_foreign_key(self, node: SshNode) -> None:
        import asyncssh

        async def work() -> None:
            async with connected(node, client_keys=[asyncssh.generate_private_key("ssh-ed25519")]):
                pass

        with pytest.raises(asyncssh.PermissionDenied):
            in_loop(work())

    def test_password_login_can_be_off_and_unusable_keys_are_ignored(self, caplog: pytest.LogCaptureFixture) -> None:
        import asyncssh

        async def work(node: SshNode) -> str:
            with pytest.raises(asyncssh.PermissionDenied):
                async with connected(node, client_keys=None, password=PASSWORD):
                    pass
            async with connected(node) as connection:
                return str((await connection.run("echo in")).stdout)

        with caplog.at_level(logging.DEBUG), ssh_node.node(verify_password=None, more_keys=["ssh-rsa AAAA"]) as node:
            assert in_loop(work(node)) == "in\n"
        assert "Node tvm-1: a public key is unusable" in caplog.text
        assert not [record for record in caplog.records if record.name.startswith("asyncssh")]

    def test_guessing_passwords_is_cut_short(self, node: SshNode) -> None:
        import asyncssh

        guesses = []

        class Guesser(asyncssh.SSHClient):
            def password_auth_requested(self) -> str:
                guesses.append(1)
                return "wrong"

        async def work() -> None:
            async with connected(node, client_keys=None, client_factory=Guesser):
                pass

        with pytest.raises(asyncssh.PermissionDenied):
            in_loop(work())
        assert len(guesses) <= 6

    def test_paramiko(self, node: SshNode) -> None:
        import paramiko

        with paramiko.SSHClient() as client:
            client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
            client.connect("127.0.0.1", node.port, USER, PASSWORD, allow_agent=False, look_for_keys=False)
            _, out, err = client.exec_command("echo out; echo err >&2; exit 9")
            assert (out.read(), err.read(), out.channel.recv_exit_status()) == (b"out\n", b"err\n", 9)
            with client.open_sftp() as sftp, sftp.open("made", "w") as remote:
                remote.write("by paramiko")
        assert (node.home / "made").read_text() == "by paramiko"
