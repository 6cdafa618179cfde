"""The options of `file-server`."""

from __future__ import annotations

from typing import Any

from azure.cli.core.commands.parameters import get_enum_type

from azext_batchai import _validators
from azext_batchai._validators import valid_resource_id
from azext_batchai.command_line import options


def load_arguments(self: Any) -> None:
    scope = "batchai file-server create"
    for verb in ("create", "show", "delete"):
        with options.command(self, f"file-server {verb}") as c:
            options.workspace_name(c, id_part="name")
            options.name(c, "file_server_name", "file server", ["--name", "-n"], id_part="child_name_1")
    with options.command(self, "file-server list") as c:
        options.workspace_name(c)
    options.config_file_argument(self, scope, arg_group="Advanced")
    options.admin_account(self, scope, "the file server")
    with self.argument_context(scope) as c:
        options.vm_size(c, "VM size of the file server.")
    with self.argument_context(scope, arg_group="Storage Disks") as c:
        c.argument("disk_count", options_list=["--disk-count"], type=_validators.positive, help="Number of disks.")
        c.argument(
            "disk_size", options_list=["--disk-size"], type=_validators.positive, help="Size of each disk in GB."
        )
        c.argument(
            "caching_type",
            get_enum_type(["none", "readonly", "readwrite"]),
            options_list=["--caching-type"],
            help="Caching of premium disks. By default none.",
        )
        c.argument(
            "storage_sku",
            get_enum_type(["Premium_LRS", "Standard_LRS"]),
            options_list=["--storage-sku"],
            help="Kind of the disks.",
        )
    with self.argument_context(scope, arg_group="Virtual Network") as c:
        c.argument(
            "subnet",
            options_list=["--subnet"],
            validator=valid_resource_id("subnet", "--subnet"),
            help="ARM ID of the subnet to put the file server in. By default it gets a virtual network of its own.",
        )
