"""az batchai file-server ..."""

# The parameters of a command are its flags. pylint: disable=too-many-positional-arguments

from __future__ import annotations

import functools
from typing import Any

from azext_batchai.command_line import config_file
from azext_batchai.command_line.progress import finish, finish_removal
from azext_batchai.ssh import passwords, user_account
from azext_batchai.transport import file_servers
from azext_batchai.transport.errors import explained
from azext_batchai.transport.existing import refuse_existing


def create_file_server(
    cmd: Any,
    client: Any,
    resource_group_name: str,
    workspace_name: str,
    file_server_name: str,
    json_file: str | None = None,
    vm_size: str | None = None,
    user_name: str | None = None,
    ssh_key: str | None = None,
    password: str | None = None,
    generate_ssh_keys: bool | None = None,
    disk_count: int | None = None,
    disk_size: int | None = None,
    caching_type: str | None = None,
    storage_sku: str | None = None,
    subnet: str | None = None,
    no_wait: bool = False,
) -> Any:
    from azure.mgmt.batchai import models

    if json_file:
        parameters = config_file.load(json_file, "FileServerCreateParameters")
    else:
        parameters = models.FileServerCreateParameters()
    parameters.vm_size = vm_size or parameters.vm_size
    disks = parameters.data_disks or models.DataDisks(disk_size_in_gb=None, disk_count=None, storage_account_type=None)
    disks.disk_size_in_gb = disk_size or disks.disk_size_in_gb
    disks.disk_count = disk_count or disks.disk_count
    disks.caching_type = caching_type or disks.caching_type
    disks.storage_account_type = storage_sku or disks.storage_account_type
    parameters.data_disks = disks
    _require_machine(parameters)
    if generate_ssh_keys:
        ssh_key = ssh_key or user_account.generate_keys()
    variable = user_account.PASSWORD_VARIABLE
    password = passwords.chosen(password, variable, "Password of the file server: ", confirm=True)
    ssh = parameters.ssh_configuration or models.SshConfiguration(user_account_settings=None)
    ssh.user_account_settings = user_account.complete(ssh.user_account_settings, user_name, ssh_key, password)
    parameters.ssh_configuration = ssh
    if subnet:
        parameters.subnet = models.ResourceId(id=subnet)

    get = functools.partial(file_servers.get, client)
    refuse_existing(get, "file server", resource_group_name, workspace_name, file_server_name)
    poller = client.file_servers.begin_create(
        resource_group_name, workspace_name, file_server_name, parameters, polling=not no_wait
    )
    return finish(cmd.cli_ctx, poller, f"Creating file server {file_server_name}")


def list_file_servers(client: Any, resource_group_name: str, workspace_name: str) -> Any:
    return list(client.file_servers.list_by_workspace(resource_group_name, workspace_name))


def show_file_server(client: Any, resource_group_name: str, workspace_name: str, file_server_name: str) -> Any:
    with explained():
        return file_servers.get(client, resource_group_name, workspace_name, file_server_name)


def delete_file_server(
    cmd: Any,
    client: Any,
    resource_group_name: str,
    workspace_name: str,
    file_server_name: str,
    no_wait: bool = False,
) -> None:
    poller = file_servers.begin_delete(client, resource_group_name, workspace_name, file_server_name, no_wait)
    finish_removal(cmd.cli_ctx, poller, f"Deleting file server {file_server_name}")


def _require_machine(parameters: Any) -> None:
    disks = parameters.data_disks
    missing = [
        option
        for option, value in (
            ("--vm-size", parameters.vm_size),
            ("--disk-count", disks.disk_count),
            ("--disk-size", disks.disk_size_in_gb),
            ("--storage-sku", disks.storage_account_type),
        )
        if not value
    ]
    if missing:
        from azure.cli.core.azclierror import RequiredArgumentMissingError

        raise RequiredArgumentMissingError(
            f"The file server is not fully described: {', '.join(missing)} missing.",
            recommendation="Give them on the command line or in the file of --config-file.",
        )
