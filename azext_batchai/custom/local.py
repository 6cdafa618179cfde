"""az batchai local ...: the Batch AI service on this machine."""

from __future__ import annotations

import collections
import os
import sys
import time
from pathlib import Path
from typing import Any

from knack.log import get_logger

from azext_batchai.command_line import report
from azext_batchai.command_line.exit_status import ExitStatus
from azext_batchai.local import cloud, embedded, environment, program, shells

logger = get_logger(__name__)

_RESET_SECONDS = 120


def start_service(cmd: Any, port: int | None = None) -> dict[str, Any]:
    running = embedded.find(cmd.cli_ctx)
    if running and port and not running.endpoint.endswith(f":{port}"):
        from azure.cli.core.azclierror import ValidationError

        raise ValidationError(
            f"The local Batch AI service runs already, at {running.endpoint}.",
            recommendation="Stop it with `az batchai local down` first; running jobs go on meanwhile.",
        )
    return _status(running or embedded.start(cmd.cli_ctx, port))


def show_status(cmd: Any) -> dict[str, Any]:
    running = embedded.holder(cmd.cli_ctx)
    if not running:
        return {"status": "stopped", "home": str(embedded.home(cmd.cli_ctx))}
    if not running.endpoint:
        return {"status": "unready", "home": str(embedded.home(cmd.cli_ctx)), "pid": running.pid}
    return _status(running)


def stop_service(cmd: Any) -> None:
    running = embedded.settled(cmd.cli_ctx)
    if not running:
        logger.warning("The local Batch AI service is not running.")
        return
    if not running.endpoint:
        _kill(cmd, running)
        return
    from azure.cli.core.azclierror import AzureConnectionError

    try:
        status = _status(running)
        embedded.request(running, "POST", "/_local/shutdown")
        ended = embedded.wait_until_gone(running)
    except AzureConnectionError:
        status, ended = {}, not running.alive
    if not ended:
        _kill(cmd, running)
    if status.get("jobsRunning"):
        logger.warning("Jobs that go on running: %s. The next start finds them again.", status["jobsRunning"])
    if status.get("jobsQueued"):
        logger.warning("Jobs that wait until the service is started again: %s.", status["jobsQueued"])


def reset_service(cmd: Any) -> None:
    """End all jobs and nodes and delete the state."""
    folder = embedded.home(cmd.cli_ctx)
    running = embedded.settled(cmd.cli_ctx)
    if not running and not folder.is_dir():
        logger.warning("There is nothing to reset: %s does not exist.", folder)
        return
    if running and not _answers(running):
        _kill(cmd, running)
    # A running service knows best the jobs that an earlier one left behind.
    if not embedded.can_open(cmd.cli_ctx):
        embedded.discard(cmd.cli_ctx)
        logger.warning("The state in %s could not be opened: what its folders told of was ended.", folder)
        return
    running = embedded.ensure(cmd.cli_ctx)
    embedded.request(running, "POST", "/_local/reset")
    if not embedded.wait_until_gone(running, _RESET_SECONDS):
        from azure.cli.core.azclierror import AzureResponseError

        raise AzureResponseError(
            f"The local Batch AI service (process {running.pid}) still ends jobs and nodes after {_RESET_SECONDS} s.",
            recommendation="Wait until it has stopped (`az batchai local status`); `az batchai local logs` tells more.",
        )


def preempt_node(cmd: Any, node_id: str) -> dict[str, Any]:
    """Take a low-priority node away, as Azure does when it needs the machine."""
    running = embedded.find(cmd.cli_ctx)
    if not running:
        from azure.cli.core.azclierror import ValidationError

        raise ValidationError(
            "The local Batch AI service is not running: it has no nodes.",
            recommendation="Start it with `az batchai local up`.",
        )
    try:
        return embedded.request(running, "POST", f"/_local/preempt/{node_id}", slow=True)
    except embedded.Refusal as refusal:
        from azure.cli.core import azclierror

        kind = azclierror.ResourceNotFoundError if refusal.status == 404 else azclierror.ValidationError
        raise kind(
            str(refusal), recommendation="`az batchai cluster node list` shows the nodes of a cluster."
        ) from refusal


def list_engines(cmd: Any, check: bool = False) -> list[dict[str, Any]]:
    """The engines of the service; with `check` what is found where each is tried."""
    running = embedded.ensure(cmd.cli_ctx)
    try:
        answer = embedded.request(running, "GET", "/_local/engines/check" if check else "/_local/engines", slow=check)
    except embedded.Refusal as refusal:
        from azure.cli.core.azclierror import ValidationError

        raise ValidationError(str(refusal), recommendation="Correct the file and try again.") from refusal
    engines: list[dict[str, Any]] = answer["engines"]
    return engines


def show_connection_string(client: Any, account_name: str, resource_group_name: str | None = None) -> dict[str, str]:
    """What `az storage` and the storage SDKs take to reach an account of the local service, made if need be."""
    from azext_batchai.storage import accounts
    from azext_batchai.transport.arm import STORAGE_API, Arm

    arm = Arm(client)
    path = accounts.provide_account(arm, account_name, str(resource_group_name or accounts.LOCAL_GROUP))
    endpoints = arm.get(path, STORAGE_API)["properties"]["primaryEndpoints"]
    return {
        "connectionString": f"DefaultEndpointsProtocol=http;AccountName={account_name};"
        f"AccountKey={accounts.key_of(arm, path)};"
        f"BlobEndpoint={endpoints['blob']};FileEndpoint={endpoints['file']}"
    }


def show_environment(
    cmd: Any,
    shell: str | None = None,
    unset: bool = False,
    as_json: bool = False,
    with_defaults: bool = False,
) -> dict[str, str | None] | None:
    """Print what turns a shell to the local cloud, or back; with `as_json` return it (None: to be unset)."""
    language = shells.SHELLS[shell or shells.of_user(os.environ)]
    if unset:
        back, gone = environment.leaving(os.environ)
        if as_json:
            values: environment.Changes = dict.fromkeys(gone)
            return {**values, **{name: os.environ[environment.OUTER + name] for name in back}}
        text = language.leave(back, gone)
    else:
        changes = _entering(cmd, with_defaults)
        if as_json:
            return changes
        text = language.enter(changes, environment.kept(os.environ, changes))
    sys.stdout.write(text)
    return None


def run_program(cmd: Any, words: list[str] | None = None, with_defaults: bool = False) -> None:
    """Run a program in the local cloud; ends with its exit code (128+n where signal n ended it)."""
    words = cmd.cli_ctx.data.get(program.WORDS) or words
    if not words:
        from azure.cli.core.azclierror import RequiredArgumentMissingError

        raise RequiredArgumentMissingError(
            "There is nothing to run.", recommendation="Say what: `az batchai local run -- ./script.sh`."
        )
    sys.exit(program.run(words, environment.apply(os.environ, _entering(cmd, with_defaults))))


def _entering(cmd: Any, with_defaults: bool) -> environment.Changes:
    outer = environment.outer(os.environ)
    facts = cloud.open_front(cmd.cli_ctx, outer)
    folder = cloud.CloudFolder(embedded.home(cmd.cli_ctx), facts)
    return environment.entering(os.environ, folder.prepare(outer, with_defaults), facts["proxy"])


def show_logs(cmd: Any, tail: int | None = None, follow: bool = False) -> None:
    """Print the log of the service."""
    log = embedded.home(cmd.cli_ctx) / "service.log"
    try:
        _print_log(log, tail, follow)
    except FileNotFoundError:
        from azure.cli.core.azclierror import FileOperationError

        raise FileOperationError(
            f"There is no log at {log}.", recommendation="Start the service with `az batchai local up`."
        ) from None
    except KeyboardInterrupt:
        sys.exit(ExitStatus.INTERRUPTED)


def examine_machine(cmd: Any) -> list[dict[str, str]] | None:
    """Say what is there and what is missing: a line each, or with --output or --query the findings themselves.

    Ends az with 1, after the output, where something is wrong.
    """
    from knack.events import EVENT_CLI_SUCCESSFUL_EXECUTE

    from azext_batchai.local import doctor

    findings = doctor.examine(cmd.cli_ctx)
    if not doctor.is_well(findings):

        def fail(*_: Any, **__: Any) -> None:
            sys.exit(ExitStatus.FAILED)

        cmd.cli_ctx.register_event(EVENT_CLI_SUCCESSFUL_EXECUTE, fail)
    if not report.is_wanted(cmd.cli_ctx):
        return findings
    for line in doctor.lines(findings, report.columns(), report.is_coloured(cmd.cli_ctx)):
        sys.stdout.write(f"{line}\n")
    return None


def _status(service: embedded.Service) -> dict[str, Any]:
    return embedded.request(service, "GET", "/_local/status")


def _answers(service: embedded.Service) -> bool:
    from azure.cli.core.azclierror import AzureConnectionError

    if not service.endpoint:
        return not service.alive
    try:
        _status(service)
    except AzureConnectionError:
        return not service.alive  # one that has just ended need not be killed
    return True


def _kill(cmd: Any, service: embedded.Service) -> None:
    """End a service that hangs. Raises AzureResponseError where it cannot be ended."""
    if embedded.kill(cmd.cli_ctx, service):
        logger.warning(
            "The local Batch AI service (process %s) did not answer in time and was killed. Running jobs go on; the "
            "next command starts the service again, which finds them.",
            service.pid,
        )
    elif service.alive:
        from azure.cli.core.azclierror import AzureResponseError

        raise AzureResponseError(
            f"The local Batch AI service (process {service.pid}) does not answer and could not be ended.",
            recommendation=f"Look at what process {service.pid} is; ending it does no harm to running jobs.",
        )


def _print_log(log: Path, tail: int | None, follow: bool) -> None:
    with log.open(encoding="utf-8", errors="replace") as lines:
        sys.stdout.writelines(lines if tail is None else collections.deque(lines, maxlen=tail))
        sys.stdout.flush()
        while follow:
            news = lines.read()
            if news:
                sys.stdout.write(news)
                sys.stdout.flush()
            else:
                time.sleep(0.2)
