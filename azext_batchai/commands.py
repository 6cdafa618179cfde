"""Which command runs what: `az batchai <noun> <verb>` is a function of custom/<noun>.py."""

from __future__ import annotations

# pylint: disable=too-many-statements
from collections.abc import Callable
from typing import Any

from azure.cli.core.commands import CliCommandType

from azext_batchai import _client_factory as clients
from azext_batchai import _format as table
from azext_batchai.transport.errors import explain


def load_command_table(self: Any, _: Any) -> None:
    def group(name: str, module: str, client_factory: Any) -> Any:
        functions = CliCommandType(operations_tmpl=f"azext_batchai.custom.{module}#{{}}", client_factory=client_factory)
        return self.command_group(name, custom_command_type=functions, exception_handler=explain)

    _load_batchai(group)
    _load_local(group)


def _load_batchai(group: Callable[[str, str, Any], Any]) -> None:
    long_running = {"supports_no_wait": True}
    destructive = {"supports_no_wait": True, "confirmation": True}

    with group("batchai workspace", "workspace", clients.workspaces) as g:
        g.custom_command("create", "create_workspace")
        g.custom_command("list", "list_workspaces", table_transformer=table.workspaces)
        g.custom_show_command("show", "show_workspace", table_transformer=table.workspaces)
        g.custom_command("delete", "delete_workspace", **destructive)

    with group("batchai cluster", "cluster", clients.clusters) as g:
        g.custom_command("create", "create_cluster", client_factory=clients.batchai)
        g.custom_command("list", "list_clusters", table_transformer=table.clusters)
        g.custom_show_command("show", "show_cluster", table_transformer=table.one_cluster)
        g.custom_command("resize", "resize_cluster")
        g.custom_command("auto-scale", "auto_scale_cluster")
        g.custom_command("delete", "delete_cluster", **destructive)

    with group("batchai cluster node", "node", clients.clusters) as g:
        g.custom_command("list", "list_nodes", table_transformer=table.nodes)
        g.custom_command("exec", "exec_on_node")

    with group("batchai cluster file", "cluster_file", clients.batchai) as g:
        g.custom_command("list", "list_files", table_transformer=table.setup_files)

    with group("batchai experiment", "experiment", clients.experiments) as g:
        g.custom_command("create", "create_experiment")
        g.custom_command("list", "list_experiments", table_transformer=table.experiments)
        g.custom_show_command("show", "show_experiment", table_transformer=table.experiments)
        g.custom_command("delete", "delete_experiment", **destructive)

    with group("batchai experiment", "experiment_jobs", clients.batchai) as g:
        g.custom_command("wait", "wait_for_experiment")
        g.custom_command("terminate", "terminate_experiment", **destructive)
        g.custom_command("resubmit", "resubmit_experiment")

    with group("batchai job", "job", clients.jobs) as g:
        g.custom_command("create", "create_job", client_factory=clients.batchai)
        g.custom_command("list", "list_jobs", client_factory=clients.batchai, table_transformer=table.job_list)
        g.custom_show_command("show", "show_job", client_factory=clients.batchai, table_transformer=table.job)
        g.custom_command("init", "init_job", client_factory=None)
        g.custom_command("schema", "show_schema", client_factory=None)
        g.custom_command("validate", "validate_job", client_factory=None)
        g.custom_command("wait", "wait_for_job", client_factory=clients.batchai)
        g.custom_command("logs", "show_logs", client_factory=clients.batchai)
        g.custom_command("terminate", "terminate_job", **destructive)
        g.custom_command("delete", "delete_job", **destructive)

    with group("batchai job", "job_run", None) as g:
        g.custom_command("run", "run_job")
        g.custom_command("resubmit", "resubmit_job", client_factory=clients.batchai)

    with group("batchai job", "diagnose", clients.batchai) as g:
        g.custom_command("diagnose", "diagnose_job")

    with group("batchai cluster", "diagnose", clients.batchai) as g:
        g.custom_command("diagnose", "diagnose_cluster")

    with group("batchai cluster node", "node_ssh", clients.clusters) as g:
        g.custom_command("ssh", "ssh_to_node")
        g.custom_command("ssh-config", "show_ssh_config")

    with group("batchai job node", "node_ssh", clients.batchai) as g:
        g.custom_command("ssh", "ssh_to_job_node")

    with group("batchai cluster", "usage", None) as g:
        g.custom_command("usage", "show_cluster_usage", table_transformer=table.cluster_usage)

    with group("batchai job", "sweep", None) as g:
        g.custom_command("sweep", "sweep_jobs", table_transformer=table.sweep)

    with group("batchai job node", "node", clients.batchai) as g:
        g.custom_command("list", "list_job_nodes", table_transformer=table.nodes)
        g.custom_command("exec", "exec_on_job_node")

    with group("batchai job file", "job_file", clients.batchai) as g:
        g.custom_command("list", "show_files", table_transformer=table.files)
        g.custom_command("stream", "stream_file")

    with group("batchai job file", "job_transfer", clients.batchai) as g:
        g.custom_command("download", "download_files")
        g.custom_command("upload", "upload_to_job")

    with group("batchai cluster file", "job_transfer", clients.batchai) as g:
        g.custom_command("upload", "upload_to_cluster")

    with group("batchai job", "metrics", clients.batchai) as g:
        g.custom_command("metrics", "show_metrics", table_transformer=table.metrics)

    with group("batchai experiment", "metrics", clients.batchai) as g:
        g.custom_command("compare", "compare_jobs", table_transformer=table.comparison)

    with group("batchai job", "tensorboard", clients.batchai) as g:
        g.custom_command("tensorboard", "show_job")

    with group("batchai experiment", "tensorboard", clients.batchai) as g:
        g.custom_command("tensorboard", "show_experiment")

    with group("batchai file-server", "file_server", clients.batchai) as g:
        g.custom_command("create", "create_file_server", **long_running)
        g.custom_command("list", "list_file_servers", table_transformer=table.file_servers)
        g.custom_show_command("show", "show_file_server", table_transformer=table.file_servers)
        g.custom_command("delete", "delete_file_server", **destructive)

    with group("batchai", "usage", clients.usages) as g:
        g.custom_command("list-usages", "list_usages", table_transformer=table.usages)


def _load_local(group: Callable[[str, str, Any], Any]) -> None:
    with group("batchai local", "local", None) as g:
        g.custom_command("up", "start_service", table_transformer=table.service)
        g.custom_command("status", "show_status", table_transformer=table.service)
        g.custom_command("down", "stop_service")
        g.custom_command("logs", "show_logs")
        g.custom_command("engines", "list_engines")
        g.custom_command("doctor", "examine_machine", table_transformer=table.findings)
        g.custom_command("preempt", "preempt_node")
        g.custom_command("env", "show_environment")
        g.custom_command("run", "run_program")
        g.custom_command("connection-string", "show_connection_string", client_factory=clients.embedded)
        g.custom_command("reset", "reset_service", confirmation=_RESET_QUESTION)
    with group("batchai local", "local_ui", None) as g:
        g.custom_command("ui", "show_page")
    with group("batchai local", "local_top", None) as g:
        g.custom_command("top", "show_overview", table_transformer=table.overview)


_RESET_QUESTION = (
    "This ends all jobs and nodes of the local service and deletes its state, storage folders included. Continue?"
)
