"""The options of every command.

Each command's options stand in the scope of that command alone: azure-cli's built-in `batchai` group has scopes such as
`batchai job` too, and where both are loaded, a scope of one replaces that of the other as a whole.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from azure.cli.core.commands.parameters import get_enum_type, get_location_type

from azext_batchai import _completers, _validators
from azext_batchai._validators import valid_mount_path, valid_name, valid_name_or_id, valid_resource_id


def load_arguments(self: Any, _: Any) -> None:
    _workspace(self)
    _cluster(self)
    _cluster_node(self)
    _experiment(self)
    _job(self)
    _job_file(self)
    _file_server(self)
    _local(self)
    with self.argument_context("batchai list-usages") as c:
        c.argument("location", _location_type(self), help="Location whose usages and limits to list.")


def _workspace(self: Any) -> None:
    for verb in ("create", "show", "delete"):
        with _command(self, f"workspace {verb}") as c:
            _workspace_name(c, ["--workspace", "-n"], id_part="name")
    with self.argument_context("batchai workspace create") as c:
        c.argument(
            "location", _location_type(self), help="Location of the workspace; by default that of its resource group."
        )
    with self.argument_context("batchai workspace list") as c:
        c.argument("resource_group_name", id_part=None, validator=_validators.valid_resource_group)


def _cluster(self: Any) -> None:
    for verb in ("create", "show", "resize", "auto-scale", "delete"):
        with _command(self, f"cluster {verb}") as c:
            _workspace_name(c, id_part="name")
            _name(c, "cluster_name", "cluster", ["--name", "-n"], id_part="child_name_1")
    with _command(self, "cluster list") as c:
        _workspace_name(c)
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
    _cluster_create(self)


def _cluster_create(self: Any) -> None:
    scope = "batchai cluster create"
    _config_file_argument(self, scope, arg_group="Advanced")
    _admin_account(self, scope, "each node")
    _storage_mounts(self, scope, "AZ_BATCHAI_MOUNT_ROOT", "on every node of the cluster")
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
        _vm_size(c, "VM size of the nodes, for example Standard_NC6 for one GPU per node.")
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
            options_list=["--vm-priority"],
            help="Priority of the nodes. Low-priority nodes cost less and may be taken away at any time.",
        )


def _cluster_node(self: Any) -> None:
    options = {"list": ["--cluster", "-c", "--name", "-n"], "exec": ["--cluster", "-c", "--name"]}
    for verb, options_list in options.items():
        with _command(self, f"cluster node {verb}") as c:
            _workspace_name(c)
            _name(c, "cluster_name", "cluster", options_list)
    with self.argument_context("batchai cluster node exec") as c:
        c.argument(
            "exec_command",
            options_list=["--exec"],
            help="Command line to run on the node. Without it, --address forwards ports until you press Ctrl-C.",
        )
        c.argument(
            "node_id",
            options_list=["--node-id", "-n"],
            help="ID of the node, as `az batchai cluster node list` shows it. By default the first node.",
        )
        c.argument(
            "address",
            options_list=["--address", "-L"],
            action="append",
            help="Forward a port of this machine to the node, as ssh does: `-L 8080:localhost:8080`. Can be repeated.",
        )
        c.argument("password", options_list=["--password", "-p"], help="Password of the administrator's account.")
        c.argument(
            "ssh_private_key",
            options_list=["--ssh-private-key", "-k"],
            help="Path of the SSH private key to log in with. By default ~/.ssh/id_rsa.",
        )


def _experiment(self: Any) -> None:
    for verb in ("create", "show", "delete"):
        with _command(self, f"experiment {verb}") as c:
            _workspace_name(c, id_part="name")
            _name(c, "experiment_name", "experiment", ["--name", "-n"], id_part="resource_name")
    with _command(self, "experiment list") as c:
        _workspace_name(c)


def _job(self: Any) -> None:
    for verb in ("create", "show", "wait", "terminate", "delete"):
        with _command(self, f"job {verb}") as c:
            _workspace_name(c, id_part="name")
            _name(c, "experiment_name", "experiment", ["--experiment", "-e"], id_part="child_name_1")
            _name(c, "job_name", "job", ["--name", "-n"], id_part="resource_name")
    with _command(self, "job list") as c:
        _workspace_name(c)
        _name(c, "experiment_name", "experiment", ["--experiment", "-e"])
    with self.argument_context("batchai job create") as c:
        c.argument(
            "cluster",
            options_list=["--cluster", "-c"],
            id_part=None,
            validator=valid_name_or_id("cluster", "cluster"),
            help="Name of the cluster to run on, or its ARM ID where it is in another workspace.",
        )
    _config_file_argument(self, "batchai job create")
    _storage_mounts(self, "batchai job create", "AZ_BATCHAI_JOB_MOUNT_ROOT", "on the job's nodes while it runs")
    with self.argument_context("batchai job wait") as c:
        c.argument(
            "check_interval_sec",
            options_list=["--interval"],
            type=_validators.positive,
            help="Most seconds between two looks at the job; the first looks come sooner.",
        )


def _job_file(self: Any) -> None:
    for verb in ("list", "stream"):
        with _command(self, f"job file {verb}") as c:
            _workspace_name(c)
            _name(c, "experiment_name", "experiment", ["--experiment", "-e"])
            _name(c, "job_name", "job", ["--job", "-j"])
            c.argument(
                "output_directory_id",
                options_list=["--output-directory-id", "-d"],
                help="`stdouterr` for stdout, stderr and the logs, or the ID of one of the job's `outputDirectories`.",
            )
            c.argument("path", options_list=["--path", "-p"], help="Subfolder of that folder.")
    with self.argument_context("batchai job file list") as c:
        c.argument(
            "expiry",
            options_list=["--expiry"],
            type=_validators.expiry,
            help="Minutes for which the download URLs are valid, from 5 to 600.",
        )
    with self.argument_context("batchai job file stream") as c:
        c.argument(
            "file_name",
            options_list=["--file-name", "-f"],
            validator=_validators.valid_file_name,
            help="Name of the file to follow.",
        )


def _file_server(self: Any) -> None:
    scope = "batchai file-server create"
    for verb in ("create", "show", "delete"):
        with _command(self, f"file-server {verb}") as c:
            _workspace_name(c, id_part="name")
            _name(c, "file_server_name", "file server", ["--name", "-n"], id_part="child_name_1")
    with _command(self, "file-server list") as c:
        _workspace_name(c)
    _config_file_argument(self, scope, arg_group="Advanced")
    _admin_account(self, scope, "the file server")
    with self.argument_context(scope) as c:
        _vm_size(c, "VM size of the file server.")
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


def _local(self: Any) -> None:
    with self.argument_context("batchai local up") as c:
        c.argument(
            "port", options_list=["--port"], type=_validators.port, help="Port to listen on. By default any free one."
        )
    with self.argument_context("batchai local logs") as c:
        c.argument("tail", options_list=["--tail"], type=_validators.count, help="Show only that many last lines.")
        c.argument("follow", options_list=["--follow"], action="store_true", help="Go on with new lines until Ctrl-C.")


@contextlib.contextmanager
def _command(self: Any, name: str) -> Iterator[Any]:
    """The scope of one command that works in a resource group."""
    with self.argument_context(f"batchai {name}") as c:
        c.argument("resource_group_name", validator=_validators.valid_resource_group)
        yield c


def _workspace_name(c: Any, options_list: list[str] | None = None, id_part: str | None = None) -> None:
    _name(c, "workspace_name", "workspace", options_list or ["--workspace", "-w"], id_part)


def _name(c: Any, dest: str, noun: str, options_list: list[str], id_part: str | None = None) -> None:
    c.argument(
        dest, options_list=options_list, id_part=id_part, validator=valid_name(dest, noun), help=f"Name of the {noun}."
    )


def _vm_size(c: Any, text: str) -> None:
    c.argument("vm_size", options_list=["--vm-size", "-s"], completer=_completers.vm_sizes, help=text)


def _location_type(self: Any) -> Any:
    # A display name is shortened without asking Azure for the list of locations, as the common type would.
    location = get_location_type(self.cli_ctx)
    location.settings["type"] = _validators.location
    return location


def _config_file_argument(self: Any, scope: str, arg_group: str | None = None) -> None:
    with self.argument_context(scope, arg_group=arg_group) as c:
        c.argument(
            "json_file",
            options_list=["--config-file", "-f"],
            help="Path of a JSON file with the body of the request, or its `properties`, as the Batch AI REST API "
            "takes it. Options on the command line come before what the file says.",
        )


def _admin_account(self: Any, scope: str, where: str) -> None:
    with self.argument_context(scope, arg_group="Admin Account") as c:
        c.argument(
            "user_name",
            options_list=["--user-name", "-u"],
            help=f"Name of the administrator's account on {where}. By default that of the configuration file, "
            "else your own user name.",
        )
        c.argument(
            "ssh_key",
            options_list=["--ssh-key", "-k"],
            help="SSH public key to log in with, or the path of its file. By default ~/.ssh/id_rsa.pub, if there is "
            "one and no password is given.",
        )
        c.argument(
            "generate_ssh_keys",
            options_list=["--generate-ssh-keys"],
            action="store_true",
            help="Make the SSH keys ~/.ssh/id_rsa and ~/.ssh/id_rsa.pub if they are missing, and use them.",
        )
        c.argument("password", options_list=["--password", "-p"], help="Password of the administrator's account.")


def _storage_mounts(self: Any, scope: str, root: str, where: str) -> None:
    with self.argument_context(scope, arg_group="File Server Mount") as c:
        c.argument(
            "nfs",
            options_list=["--nfs", "--nfs-name"],
            validator=valid_name_or_id("nfs", "file server"),
            help=f"File server to mount {where}: its name, or its ARM ID where it is in another workspace.",
        )
        _mount_path(c, "nfs_mount_path", "--nfs-mount-path", "file server", root)
    with self.argument_context(scope, arg_group="Azure Storage Mount") as c:
        c.argument(
            "account_name",
            options_list=["--storage-account-name"],
            help="Storage account of what is to be mounted. By default AZURE_BATCHAI_STORAGE_ACCOUNT.",
        )
        c.argument(
            "account_key",
            options_list=["--storage-account-key"],
            help="Key of the storage account. By default AZURE_BATCHAI_STORAGE_KEY for the account named there; "
            "otherwise it is looked up in your subscription.",
        )
        c.argument("azure_file_share", options_list=["--afs-name"], help=f"Azure file share to mount {where}.")
        _mount_path(c, "afs_mount_path", "--afs-mount-path", "file share", root)
        c.argument("container_name", options_list=["--bfs-name"], help=f"Azure blob container to mount {where}.")
        _mount_path(c, "container_mount_path", "--bfs-mount-path", "container", root)


def _mount_path(c: Any, dest: str, option: str, what: str, root: str) -> None:
    c.argument(
        dest,
        options_list=[option],
        validator=valid_mount_path(dest, option),
        help=f"Where to mount the {what}, relative to ${root}.",
    )
