"""The options of `cluster`."""

from __future__ import annotations

from typing import Any

from azure.cli.core.commands.parameters import get_enum_type

from azext_batchai import _completers, _validators
from azext_batchai._validators import valid_resource_id
from azext_batchai.command_line import options


def load_arguments(self: Any) -> None:
    for verb in ("create", "show", "resize", "auto-scale", "diagnose", "delete"):
        with options.command(self, f"cluster {verb}") as c:
            options.workspace_name(c, id_part="name")
            options.name(c, "cluster_name", "cluster", ["--name", "-n"], id_part="child_name_1")
    with options.command(self, "cluster list") as c:
        options.workspace_name(c)
    with options.command(self, "cluster usage") as c:
        c.argument("resource_group_name", required=False, validator=_validators.valid_resource_group)
        options.workspace_name(c)
        options.name(c, "cluster_name", "cluster", ["--name", "-n"])
        c.argument("since", options_list=["--since"], type=_validators.span, help="How far back: 7d, 12h, 30m.")
    with self.argument_context("batchai cluster resize") as c:
        c.argument("target", options_list=["--target", "-t"], type=_validators.count, help="Number of nodes to have.")
    with self.argument_context("batchai cluster auto-scale") as c:
        c.argument("min_nodes", options_list=["--min"], type=_validators.count, help="Fewest nodes to keep.")
        c.argument(
            "max_nodes",
            options_list=["--max"],
            type=_validators.count,
            validator=_validators.valid_scale,
            help="Most nodes to have at once.",
        )
    _create(self)


def _create(self: Any) -> None:
    scope = "batchai cluster create"
    options.config_file_argument(self, scope, arg_group="Advanced")
    options.admin_account(self, scope, "each node")
    options.storage_mounts(self, scope, "AZ_BATCHAI_MOUNT_ROOT", "on every node of the cluster")
    with self.argument_context(scope, arg_group="Setup Task") as c:
        c.argument(
            "setup_task",
            options_list=["--setup-task"],
            help="Command line that each node runs in a shell whenever it is allocated. A node whose setup task fails "
            "becomes unusable; `az batchai cluster show` says why.",
        )
        c.argument(
            "setup_task_output",
            options_list=["--setup-task-output"],
            help="Folder for the output of the setup task. The service adds a path of its own below it, "
            "`stdOutErrPathSuffix` in `az batchai cluster show`. By default the first mounted file share, "
            "else container, else file server; without any mount, the node's own log folder.",
        )
    with self.argument_context(scope, arg_group="Virtual Network") as c:
        c.argument(
            "subnet",
            options_list=["--subnet"],
            validator=valid_resource_id("subnet", "--subnet"),
            help="ARM ID of the subnet to put the nodes in.",
        )
    with self.argument_context(scope, arg_group="Nodes") as c:
        c.argument(
            "engine",
            options_list=["--engine"],
            help="Where the nodes come from: `local` (this machine) or a profile of engines.json; see "
            "`az batchai local engines`. By default `engine` in the batchai section of the az configuration, else "
            "the service's own default.",
        )
    with self.argument_context(scope, arg_group="Auto Storage") as c:
        c.argument(
            "use_auto_storage",
            options_list=["--use-auto-storage"],
            action="store_true",
            help="Mount a file share and a blob container of a storage account that is made for you: share "
            "`batchaishare` at $AZ_BATCHAI_MOUNT_ROOT/autoafs and container `batchaicontainer` at "
            "$AZ_BATCHAI_MOUNT_ROOT/autobfs, in resource group `batchaiautostorage`. Clusters of one location "
            "share the account.",
        )
    with self.argument_context(scope, arg_group="Nodes") as c:
        c.argument(
            "image",
            options_list=["--image", "-i"],
            completer=_completers.images,
            help="Image of the nodes: an alias (UbuntuLTS, UbuntuDSVM) or `publisher:offer:sku:version`. "
            "By default the service chooses.",
        )
        c.argument(
            "custom_image",
            options_list=["--custom-image"],
            validator=valid_resource_id("custom_image", "--custom-image"),
            help="ARM ID of a virtual machine image of your own. Say with --image what it was made from.",
        )
        options.vm_size(c, "VM size of the nodes, for example Standard_NC6 for one GPU per node.")
        c.argument(
            "target",
            options_list=["--target", "-t"],
            type=_validators.count,
            help="Number of nodes to allocate at once. With --min and --max, the number to begin with.",
        )
        c.argument(
            "min_nodes",
            options_list=["--min"],
            type=_validators.count,
            help="Fewest nodes of an auto-scale cluster.",
        )
        c.argument(
            "max_nodes",
            options_list=["--max"],
            type=_validators.count,
            validator=_validators.valid_scale,
            help="Most nodes of an auto-scale cluster.",
        )
        c.argument(
            "vm_priority",
            get_enum_type(["dedicated", "lowpriority"]),
            type=_validators.vm_priority,
            options_list=["--vm-priority"],
            help="Priority of the nodes. Low-priority nodes cost less and may be taken away at any time; `spot`, as "
            "Azure calls them now, is the same.",
        )
