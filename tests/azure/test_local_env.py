"""`az batchai local env` and `local run`: a shell, or one program, in the local cloud."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import az, processes, ssh_node
from harness.service import Service

SHOWN = f'{sys.executable} -c "import json, os; print(json.dumps(dict(os.environ)))"'
USERS = {
    "AZURE_STORAGE_KEY": "cmVhbC1rZXk=",
    "AZURE_CLOUD_NAME": "AzureChinaCloud",
    "HTTPS_PROXY": 'http://it\'s a "proxy" with $HOME:3128',
    "NO_PROXY": "localhost,10.0.0.0/8,.corp.example",
}
Run = Callable[..., az.Outcome]


@pytest.fixture
def run(home: Path, az_process: Run) -> Run:
    """`az batchai local run -- WORDS` as a process."""

    def run(*words: str, options: tuple[str, ...] = (), **popen: Any) -> az.Outcome:
        return az_process("batchai", "local", "run", *options, "--", *words, **popen)

    return run


def environ_of(outcome: az.Outcome) -> dict[str, str]:
    assert outcome.code == 0, outcome.stderr
    return json.loads(outcome.output.splitlines()[-1])


@pytest.mark.parametrize(("program", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143)])
def test_the_end_of_the_program_is_the_end_of_the_command(run: Run, program: str, code: int) -> None:
    assert run("bash", "-c", program).code == code


def test_the_words_of_the_program_are_its_own(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not to be read")
    words = ["@file", "--help", "-h", "--debug", "--", "-o", "table", "job", "list-files", "a b", "", "--query"]
    program = "import json, sys; print(json.dumps(sys.argv[1:]))"
    outcome = run(sys.executable, "-c", program, *words, cwd=tmp_path)
    assert json.loads(outcome.output.splitlines()[-1]) == words, outcome.stderr


def test_without_dashes_a_plain_program_runs_too(home: Path, az_process: Run) -> None:
    outcome = az_process("batchai", "local", "run", "echo", "hello")
    assert (outcome.code, outcome.output) == (0, "hello\n")


def test_nothing_to_run(home: Path, az_process: Run) -> None:
    for words in ((), ("--",)):
        outcome = az_process("batchai", "local", "run", *words)
        assert outcome.code == 1
        assert "There is nothing to run." in outcome.stderr


def test_a_program_that_cannot_be_run(run: Run, tmp_path: Path) -> None:
    for path in ("/no/such/program", str(tmp_path)):
        outcome = run(path)
        assert outcome.code == 1
        assert f"{path} cannot be run" in outcome.stderr
        assert "Traceback" not in outcome.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_reaches_the_program(home: Path, tmp_path: Path, number: signal.Signals) -> None:
    program = f"trap 'exit 9' {number.name[3:]}; touch {tmp_path}/there; while :; do sleep 0.05; done"
    process = az.start_process("batchai", "local", "run", "--", "bash", "-c", program)
    with process:
        processes.wait_until((tmp_path / "there").exists, "the program runs")
        process.send_signal(number)
        assert process.wait(30) == 9


def test_the_local_cloud_says_that_it_is_one(run: Run) -> None:
    found = json.loads(run("az", "account", "show", env=path()).output)
    assert (found["environmentName"], found["name"]) == ("BatchAILocal", "Local Batch AI (this machine)")


def path() -> dict[str, str]:
    return {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def test_az_in_it_needs_no_login_and_says_nothing_on_stderr(run: Run) -> None:
    run("true")
    outcome = run("bash", "-c", "az group create -n lab -l eastus -o none && az group list", env=path())
    assert [group["name"] for group in json.loads(outcome.output)] == ["lab"]
    assert outcome.stderr == ""


def test_the_configuration_of_the_user_is_untouched(run: Run, tmp_path: Path) -> None:
    theirs = tmp_path / "azure"
    theirs.mkdir()
    (theirs / "config").write_text("[defaults]\ngroup = mine\n[core]\noutput = table\n[cloud]\nname = AzureCloud\n")
    (theirs / "clouds.config").write_text("[AzureCloud]\nsubscription = mine\n")
    program = "az configure --defaults location=westus && az configure -l -o json && az config get core.output -o json"
    env = {**path(), "AZURE_CONFIG_DIR": str(theirs)}
    before = {name: (theirs / name).read_bytes() for name in ("config", "clouds.config")}
    outcome = run("bash", "-c", program, env=env)
    assert outcome.code == 0, outcome.stderr
    assert '"location"' in outcome.output
    assert '"mine"' not in outcome.output
    assert {name: (theirs / name).read_bytes() for name in before} == before
    assert not (theirs / "msal_token_cache.json").exists()
    again = run("az", "configure", "-l", "-o", "json", options=("--with-defaults",), env=env).output
    assert {item["name"]: item["value"] for item in json.loads(again)} == {"location": "westus", "group": "mine"}


def test_what_leads_to_real_azure_is_left_outside(run: Run) -> None:
    inside = environ_of(run("bash", "-c", SHOWN, env=USERS))
    assert not {"AZURE_STORAGE_KEY", "AZURE_CLOUD_NAME"} & inside.keys()
    assert inside["NO_PROXY"] == "10.0.0.0/8,.corp.example"
    assert inside["HTTPS_PROXY"].startswith("http://127.0.0.1:")


def test_the_users_own_proxy_goes_on_behind_ours(run: Run) -> None:
    """Nobody listens at the user's: what our proxy says of it proves that it was asked."""
    program = (
        "import requests\n"
        "try: requests.get('https://www.example.com/')\n"
        "except requests.exceptions.ProxyError as error: print(error)"
    )
    outcome = run(sys.executable, "-c", program, env={"HTTPS_PROXY": f"http://127.0.0.1:{ssh_node.free_port()}"})
    assert "502 Bad Gateway" in outcome.output, outcome.stderr


def test_authorities_of_the_user_stay_trusted(run: Run, tmp_path: Path) -> None:
    own = tmp_path / "own.pem"
    own.write_text("# the company's\n-----BEGIN CERTIFICATE-----\nxx\n-----END CERTIFICATE-----\n")
    env = {"REQUESTS_CA_BUNDLE": str(own), "SSL_CERT_FILE": str(own)}
    inside = environ_of(run("bash", "-c", SHOWN, env=env))
    ours = Path(inside["NODE_EXTRA_CA_CERTS"]).read_text()
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"):
        assert Path(inside[name]).read_text() == own.read_text() + ours


def test_a_service_that_is_started_from_inside_sees_nothing_of_it(run: Run, home: Path) -> None:
    run("true")
    service = Service(home)
    service.kill()
    assert run("az", "batchai", "local", "up", env=path()).code == 0
    environ = Path(f"/proc/{service.info['pid']}/environ").read_bytes()
    assert b"HTTPS_PROXY" not in environ
    assert b"AZURE_BATCHAI_OUTER_" not in environ


def test_a_shell_goes_on_after_the_service_was_restarted(run: Run, home: Path) -> None:
    program = "az group create -n lab -l eastus -o none; kill -9 $PID; az batchai local up -o none; az group list"
    assert run("true").code == 0
    env = {**path(), "PID": str(Service(home).info["pid"])}
    outcome = run("bash", "-c", program, env=env)
    assert [group["name"] for group in json.loads(outcome.output)] == ["lab"], outcome.stderr


def test_a_script_may_log_in(run: Run) -> None:
    tenant = "22222222-3333-4444-5555-666666666666"
    login = f"az login --service-principal -u http://me -p secret --tenant {tenant} -o none"
    outcome = run("bash", "-c", f"{login} && az group list && az logout && az group list", env=path())
    assert outcome.output == "[]\n"
    assert "az login" in outcome.stderr
    assert run("az", "group", "list", env=path()).output == "[]\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_goes_in_and_comes_back(home: Path, az_process: Run, shell: str) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    env_command = f"{sys.executable} -m azure.cli batchai local env --shell {shell}"
    how = "{} | source" if shell == "fish" else 'eval "$({})"'
    script = ";".join(
        [SHOWN, how.format(env_command), SHOWN, how.format(f"{env_command} --unset"), SHOWN, how.format(env_command)]
        + [how.format(env_command), SHOWN, how.format(f"{env_command} --unset"), SHOWN]
    )
    done = subprocess.run(
        [shell, "-c", script], env={**os.environ, **USERS}, capture_output=True, text=True, check=False
    )
    before, inside, after, twice, again = (_without_shell(json.loads(line)) for line in done.stdout.splitlines())
    assert after == again == before, done.stderr
    assert inside == twice
    assert inside["AZURE_CONFIG_DIR"] == str(home / "azure")


def _without_shell(environ: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name not in ("_", "SHLVL", "OLDPWD", "PWD")}


def test_secrets_of_the_user_are_not_printed(home: Path, az_process: Run) -> None:
    for words in ((), ("--shell", "powershell"), ("--shell", "cmd"), ("--json",)):
        outcome = az_process("batchai", "local", "env", *words, env=USERS)
        assert outcome.code == 0
        assert "cmVhbC1rZXk=" not in outcome.output + outcome.stderr
        assert "with $HOME:3128" not in outcome.output + outcome.stderr


def test_the_variables_as_json(home: Path, az_process: Run) -> None:
    changes = json.loads(az_process("batchai", "local", "env", "--json", env=USERS).output)
    assert changes["AZURE_STORAGE_KEY"] is None
    assert changes["AZURE_BATCHAI_HOME"] == str(home)


def test_other_shells_have_their_own_words(home: Path, az_process: Run) -> None:
    powershell = az_process("batchai", "local", "env", "--shell", "powershell").output
    assert f"$env:AZURE_CONFIG_DIR = '{home / 'azure'}'\n" in powershell
    cmd = az_process("batchai", "local", "env", "--shell", "cmd").output
    assert f'set "AZURE_CONFIG_DIR={home / "azure"}"\n' in cmd


def test_outside_there_is_nothing_to_leave(home: Path, az_process: Run) -> None:
    outcome = az_process("batchai", "local", "env", "--unset", "--shell", "bash", env=USERS)
    assert [line for line in outcome.output.splitlines() if not line.startswith("#")] == []
    assert not (home / "service.json").exists()


def test_broken_files_of_the_local_cloud_are_replaced(run: Run, home: Path) -> None:
    assert run("true").code == 0
    for name in ("config", "clouds.config", "azureProfile.json", "service_principal_entries.json"):
        (home / "azure" / name).write_text("\x00[[{")
    assert json.loads(run("az", "group", "list", env=path()).output) == []
