"""The options of every command.

Each command's options stand in the scope of that command alone: azure-cli's built-in `batchai` group has scopes such as
`batchai job` too, and where both are loaded, a scope of one replaces that of the other as a whole.
"""

from __future__ import annotations

from typing import Any

from azure.cli.core.commands.parameters import get_enum_type

from azext_batchai import _completers, _params_files, _validators
from azext_batchai._validators import valid_resource_id
from azext_batchai.command_line import durations, options


def load_arguments(self: Any, _: Any) -> None:
    _workspace(self)
    _cluster(self)
    _cluster_node_and_file(self)
    _experiment(self)
    _job(self)
    _job_node_and_file(self)
    _file_server(self)
    _local(self)
    _params_files.load_arguments(self)
    with self.argument_context("batchai list-usages") as c:
        c.argument("location", options.location_type(self), help="Location whose usages and limits to list.")


def _workspace(self: Any) -> None:
    for verb in ("create", "show", "delete"):
        with options.command(self, f"workspace {verb}") as c:
            options.workspace_name(c, ["--workspace", "-n"], id_part="name")
    with self.argument_context("batchai workspace create") as c:
        c.argument(
            "location",
            options.location_type(self),
            help="Location of the workspace; by default that of its resource group.",
        )
    with self.argument_context("batchai workspace list") as c:
        c.argument("resource_group_name", id_part=None, validator=_validators.valid_resource_group)


def _cluster(self: Any) -> None:
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
    _cluster_create(self)


def _cluster_create(self: Any) -> None:
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


def _cluster_node_and_file(self: Any) -> None:
    # The documentation writes `cluster node list --name`.
    node_verbs = (("node list", ["--name", "-n"]), ("node exec", []), ("node ssh", []), ("node ssh-config", []))
    for verb, more in (*node_verbs, ("file list", [])):
        with options.command(self, f"cluster {verb}") as c:
            options.workspace_name(c)
            options.name(c, "cluster_name", "cluster", ["--cluster", "-c", *more])
    _node_exec(self, "cluster")
    _node_ssh(self, "cluster")
    _private_key(self, "cluster node ssh-config")
    with self.argument_context("batchai cluster node ssh-config") as c:
        c.argument(
            "write",
            options_list=["--write"],
            action="store_true",
            help="Write the hosts to a file in ~/.ssh/batchai, and let ~/.ssh/config include it.",
        )
    with self.argument_context("batchai cluster file list") as c:
        c.argument("path", options_list=["--path", "-p"], help="Subfolder of the setup task's output folder.")
        options.expiry(c)


def _node_ssh(self: Any, noun: str) -> None:
    _forward_and_login(self, noun, "ssh")
    with self.argument_context(f"batchai {noun} node ssh") as c:
        c.positional("words", nargs="*", metavar="COMMAND", help="What to run there, behind `--`. By default a shell.")


def _node_exec(self: Any, noun: str) -> None:
    _forward_and_login(self, noun, "exec")
    with self.argument_context(f"batchai {noun} node exec") as c:
        c.argument(
            "exec_command",
            options_list=["--exec"],
            help="Command line to run on the node. Without it, --address forwards ports until you press Ctrl-C.",
        )
        options.password(c, "AZURE_BATCHAI_NODE_PASSWORD", "Password to log in with.")


def _forward_and_login(self: Any, noun: str, verb: str) -> None:
    _private_key(self, f"{noun} node {verb}")
    with self.argument_context(f"batchai {noun} node {verb}") as c:
        c.argument(
            "node_id",
            options_list=["--node-id", "-n"],
            completer=_completers.nodes,
            help=f"ID of the node, as `az batchai {noun} node list` shows it. By default the first node.",
        )
        c.argument(
            "address",
            options_list=["--address", "-L"],
            action="append",
            help="Forward a port or UNIX socket of this machine to what the node reaches, as ssh does: `PORT` (the "
            "node's own port of that number), "
            "`[BIND:]PORT:HOST:HOSTPORT`, `[BIND:]PORT:/NODE/SOCKET`, `/LOCAL/SOCKET:HOST:HOSTPORT` or "
            "`/LOCAL/SOCKET:/NODE/SOCKET`. It listens on 127.0.0.1 unless BIND says otherwise. Can be repeated.",
        )


def _private_key(self: Any, scope: str) -> None:
    with self.argument_context(f"batchai {scope}") as c:
        c.argument(
            "ssh_private_key",
            options_list=["--ssh-private-key", "-k"],
            help="Path of the SSH private key to log in with. By default the keys of your SSH agent and those in "
            "~/.ssh.",
        )


def _experiment(self: Any) -> None:
    for verb in ("create", "show", "delete"):
        with options.command(self, f"experiment {verb}") as c:
            options.workspace_name(c, id_part="name")
            options.name(c, "experiment_name", "experiment", ["--name", "-n"], id_part="resource_name")
    with options.command(self, "experiment list") as c:
        options.workspace_name(c)
    _experiment_jobs(self)


def _experiment_jobs(self: Any) -> None:
    for verb in ("wait", "terminate", "resubmit"):
        with options.command(self, f"experiment {verb}") as c:
            options.workspace_name(c, id_part="name")
            options.name(c, "experiment_name", "experiment", ["--name", "-n"], id_part="resource_name")
    with self.argument_context("batchai experiment wait") as c:
        c.argument(
            "check_interval_sec",
            options_list=["--interval"],
            type=_validators.positive,
            help="Most seconds between two looks at the jobs; the first looks come sooner.",
        )
        c.argument(
            "timeout",
            options_list=["--timeout"],
            type=_validators.positive,
            help="Most seconds to wait; then the command exits with 124 and the jobs go on. By default for ever.",
        )
    with self.argument_context("batchai experiment resubmit") as c:
        c.argument("failed", options_list=["--failed"], action="store_true", help="Only the jobs that failed.")
        c.argument(
            "secret",
            options_list=["--secret"],
            action="append",
            help="Secret of the jobs: NAME takes its value from your environment, NAME=- asks for it. Can be repeated.",
        )


def _job(self: Any) -> None:
    for verb in ("create", "show", "wait", "logs", "resubmit", "diagnose", "terminate", "delete"):
        with options.command(self, f"job {verb}") as c:
            options.workspace_name(c, id_part="name")
            options.experiment_name(c, id_part="child_name_1")
            options.name(c, "job_name", "job", ["--name", "-n"], id_part="resource_name")
    with options.command(self, "job list") as c:
        options.workspace_name(c)
        options.experiment_name(c)
        c.argument(
            "wide",
            options_list=["--wide"],
            action="store_true",
            help="Let the table say when jobs started, how long they ran, and why they wait or failed, as it does on a "
            "terminal that is wide enough.",
        )
    with self.argument_context("batchai job create") as c:
        options.cluster_to_run_on(
            c,
            "Name of the cluster to run on, or its ARM ID where it is in another workspace. It may be left out where "
            f"the configuration file has it as `cluster`.{options.configurable('cluster')}",
            id_part=None,
        )
    options.config_file_argument(self, "batchai job create")
    options.storage_mounts(self, "batchai job create", "AZ_BATCHAI_JOB_MOUNT_ROOT", "on the job's nodes while it runs")
    with self.argument_context("batchai job wait") as c:
        c.argument(
            "check_interval_sec",
            options_list=["--interval"],
            type=_validators.positive,
            help="Most seconds between two looks at the job; the first looks come sooner.",
        )
        c.argument(
            "timeout",
            options_list=["--timeout"],
            type=_validators.positive,
            help="Most seconds to wait; then the command exits with 124 and the job goes on. By default for ever.",
        )
        c.argument(
            "any_job",
            options_list=["--any"],
            action="store_true",
            help="In place of --name: wait for the first of the experiment's jobs that ends, and print it.",
        )

    with self.argument_context("batchai job create") as c:
        c.argument(
            "dry_run",
            options_list=["--dry-run"],
            action="store_true",
            help="Check the job and print what would be sent, without keys and secrets; make nothing.",
        )
        c.argument(
            "strict",
            options_list=["--strict"],
            action="store_true",
            help="Refuse unknown keys, what the cluster cannot give, and scripts and programs that are not there.",
        )
    _job_files(self)
    _job_run(self)
    _job_sweep(self)
    _job_again(self)
    with self.argument_context("batchai job logs") as c:
        c.argument(
            "rank",
            options_list=["--rank"],
            type=_validators.names,
            help="Only these ranks, with commas between them. By default all.",
        )
        c.argument("stderr", options_list=["--stderr"], action="store_true", help="Show stderr in place of stdout.")
        c.argument("tail", options_list=["--tail"], type=_validators.count, help="Only that many last lines of each.")
        c.argument(
            "since",
            options_list=["--since"],
            type=durations.moment,
            help="Only lines from then on: `5m`, `2h` or a time such as 2026-01-31T12:00. It goes by the times that "
            "lines begin with and by when files were last written to.",
        )
        c.argument("follow", options_list=["--follow"], action="store_true", help="Go on until the job has ended.")
        c.argument(
            "timestamps",
            options_list=["--timestamps"],
            action="store_true",
            help="Put before each line when it came. Lines that are there already have a dash: when a job wrote them "
            "is kept nowhere.",
        )


def _job_again(self: Any) -> None:
    with self.argument_context("batchai job show") as c:
        c.argument(
            "as_config",
            options_list=["--as-config"],
            action="store_true",
            help="Print the job.json that makes such a job, without keys and secrets, which the service shows nobody.",
        )
    with self.argument_context("batchai job resubmit") as c:
        c.argument(
            "new_name",
            options_list=["--new-name"],
            validator=_validators.valid_name("new_name", "job"),
            help="Name of the new job. By default the old one's with a number.",
        )
        options.cluster_to_run_on(c, "Name of another cluster to run on, or its ARM ID.", id_part=None)
        c.argument(
            "settings",
            options_list=["--set"],
            action="append",
            help="KEY=VALUE with a key of job.json such as `nodeCount` or `pyTorchSettings.commandLineArgs`; the value "
            "is JSON, or else text. Can be repeated.",
        )
        c.argument(
            "secret",
            options_list=["--secret"],
            action="append",
            help="Secret of the job: NAME takes its value from your environment, NAME=- asks for it. Can be repeated.",
        )


def _job_run(self: Any) -> None:
    with options.command(self, "job run") as c:
        _command_line(c)
        c.argument(
            "job_name",
            options_list=["--name", "-n"],
            validator=_validators.valid_name("job_name", "job"),
            help="Name of the job. By default a new one.",
        )
        c.argument(
            "secret",
            options_list=["--secret"],
            action="append",
            help="Secret variable: NAME takes its value from your environment, NAME=- asks for it. Can be repeated.",
        )
        c.argument(
            "download",
            options_list=["--download"],
            help="Folder to copy the job's output to when it has ended. A command line may write to "
            "$AZ_BATCHAI_OUTPUT_RESULTS then.",
        )
        c.argument("detach", options_list=["--detach"], action="store_true", help="Do not follow the job; show it.")
        c.argument(
            "timeout",
            options_list=["--timeout"],
            type=_validators.positive,
            help="Most seconds to follow the job; then the command exits with 124 and the job goes on.",
        )
        c.argument(
            "dry_run", options_list=["--dry-run"], action="store_true", help="Only print the job.json, without secrets."
        )


def _command_line(c: Any) -> None:
    """The options of a job that is a command line or a file, and of where it runs."""
    c.positional(
        "words",
        nargs="*",
        help="The command line, after `--`. One word is a line of the shell's. On this machine it begins in "
        "the current folder.",
    )
    c.argument("resource_group_name", options_list=["--resource-group", "-g"], help="Name of the resource group.")
    options.workspace_name(c)
    options.experiment_name(c)
    text = f"Name of the cluster to run on, or its ARM ID.{options.configurable('cluster')}"
    options.cluster_to_run_on(c, text, configured_default="cluster")
    c.argument(
        "json_file",
        options_list=["--config-file", "-f"],
        help="A job.json in place of a command line (docs/job.md).",
    )
    c.argument("nodes", options_list=["--nodes"], type=_validators.positive, help="Number of nodes. By default 1.")
    c.argument(
        "processes",
        options_list=["--processes"],
        type=_validators.positive,
        help="Number of processes over all nodes. By default one for each node.",
    )
    c.argument(
        "toolkit",
        get_enum_type(["custom", "custommpi", "pytorch", "horovod", "chainer"]),
        options_list=["--toolkit"],
        help="What starts the processes. By default custom for one; for several pytorch, which needs no MPI, where "
        "the command line is a Python script, else custommpi.",
    )
    c.argument("image", options_list=["--image"], help="Container image to run in.")
    c.argument("env", options_list=["--env"], action="append", help="Variable NAME=VALUE. Can be repeated.")
    _params_files.source(c)


def _job_sweep(self: Any) -> None:
    with options.command(self, "job sweep") as c:
        _command_line(c)
        c.argument(
            "name_pattern",
            options_list=["--name", "-n"],
            help="Name of the jobs, such as 'lr-{lr}' or 'try-{number}'; what cannot be in a name becomes `_`. Where "
            "it makes the same name twice, numbers are added.",
        )
        c.argument(
            "param",
            options_list=["--param"],
            action="append",
            help="NAME=VALUES: `0.1,0.01`, whole numbers `0..4`, steps `0..1:0.25`, five on a logarithmic scale "
            "`log:1e-5..1e-1:5`. With --random also `0.1..0.9` and `log:1e-5..1e-1`. Can be repeated.",
        )
        c.argument(
            "param_file",
            options_list=["--param-file"],
            help='JSON or YAML file with parameters: {"lr": [0.1, 0.01], "seed": "0..4"}. Those of --param come first.',
        )
        c.argument(
            "random",
            options_list=["--random"],
            type=_validators.positive,
            help="Draw that many combinations in place of trying all.",
        )
        c.argument(
            "seed", options_list=["--seed"], type=_validators.count, help="Draw the same as with this seed before."
        )
        c.argument(
            "max_running",
            options_list=["--max-running"],
            type=_validators.positive,
            help="Most of these jobs to run at once. The embedded service keeps it, whoever is connected.",
        )
        c.argument(
            "dry_run", options_list=["--dry-run"], action="store_true", help="Only print the jobs, without secrets."
        )


def _job_files(self: Any) -> None:
    for verb in ("init", "validate"):
        options.config_file_argument(self, f"batchai job {verb}")
    with self.argument_context("batchai job schema") as c:
        c.argument(
            "file_of",
            get_enum_type(["job", "cluster", "file-server"]),
            options_list=["--file-of"],
            help="Whose configuration file.",
        )
    with self.argument_context("batchai job init") as c:
        c.argument("json_file", options_list=["--config-file", "-f"], help="Path of the file to write.")
        c.argument("toolkit", get_enum_type(_TOOLKITS), options_list=["--toolkit"], help="What runs the job.")
        c.argument("nodes", options_list=["--nodes"], type=_validators.positive, help="Number of nodes.")
        c.argument(
            "processes",
            options_list=["--processes"],
            type=_validators.positive,
            help="Number of processes over all nodes. By default one for each node.",
        )
        c.argument("script", options_list=["--script"], help="Name of the script in the share.")
    with options.command(self, "job validate") as c:
        options.workspace_name(c)
        c.argument("resource_group_name", required=False)
        options.cluster_to_run_on(c, "Name of the cluster to hold the job against, or its ARM ID.")


_TOOLKITS = ("custom", "custommpi", "pytorch", "tensorflow", "horovod", "chainer", "cntk", "caffe", "caffe2")


def _job_node_and_file(self: Any) -> None:
    for verb in ("node list", "node exec", "node ssh", "file list", "file stream"):
        with options.command(self, f"job {verb}") as c:
            options.workspace_name(c)
            options.experiment_name(c)
            options.name(c, "job_name", "job", ["--job", "-j"])
    _node_exec(self, "job")
    _node_ssh(self, "job")
    with self.argument_context("batchai job node ssh") as c:
        c.argument(
            "rank",
            options_list=["--rank"],
            help="Rank whose node to log in to, as the job's files are named by. By default the first.",
        )
    for verb in ("list", "stream"):
        with self.argument_context(f"batchai job file {verb}") as c:
            c.argument(
                "output_directory_id",
                options_list=["--output-directory-id", "-d"],
                completer=_completers.output_directories,
                help="`stdouterr` for stdout, stderr and the logs, or the ID of one of the job's `outputDirectories`.",
            )
            c.argument("path", options_list=["--path", "-p"], help="Subfolder of that folder.")
    with self.argument_context("batchai job file list") as c:
        options.expiry(c)
    with self.argument_context("batchai job file stream") as c:
        c.argument(
            "file_name",
            options_list=["--file-name", "-f"],
            validator=_validators.valid_file_name,
            completer=_completers.files,
            help="Name of the file to follow.",
        )


def _file_server(self: Any) -> None:
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


def _local(self: Any) -> None:
    with self.argument_context("batchai local up") as c:
        c.argument(
            "port", options_list=["--port"], type=_validators.port, help="Port to listen on. By default any free one."
        )
    with self.argument_context("batchai local engines") as c:
        c.argument(
            "check",
            options_list=["--check"],
            action="store_true",
            help="Try each one: are Slurm's commands, the partition and account, the shared folder and Python there?",
        )
    with self.argument_context("batchai local connection-string") as c:
        c.argument("account_name", options_list=["--account-name", "-n"], help="Name of the storage account.")
        c.argument(
            "resource_group_name",
            id_part=None,
            required=False,
            validator=_validators.valid_resource_group,
            help="Resource group in which the account is made where it is missing. By default 'local'.",
        )
    for command in ("env", "run"):
        with self.argument_context(f"batchai local {command}") as c:
            c.argument(
                "with_defaults",
                options_list=["--with-defaults"],
                action="store_true",
                help="Take your own defaults along (`az configure --defaults`).",
            )
    with self.argument_context("batchai local env") as c:
        c.argument(
            "shell",
            options_list=["--shell"],
            arg_type=get_enum_type(["bash", "zsh", "fish", "powershell", "cmd"]),
            help="Shell to write for. By default your own.",
        )
        c.argument("unset", options_list=["--unset"], action="store_true", help="Write what takes the shell back.")
        c.argument("as_json", options_list=["--json"], action="store_true", help="Return the variables as JSON.")
    with self.argument_context("batchai local ui") as c:
        c.argument(
            "open_browser",
            options_list=["--open"],
            action="store_true",
            help="Open the page in a browser. By default that is done on a desktop.",
        )
        c.argument(
            "print_only", options_list=["--print"], action="store_true", help="Only print the address, open nothing."
        )
        c.argument("revoke", options_list=["--revoke"], action="store_true", help="End all sessions of the page.")
    with self.argument_context("batchai local run") as c:
        c.positional("words", nargs="*", metavar="PROGRAM", help="The program and its arguments, behind `--`.")
    with self.argument_context("batchai local preempt") as c:
        c.argument("node_id", options_list=["--node-id", "-n"], help="ID of the node to take away.")
    with self.argument_context("batchai local logs") as c:
        c.argument("tail", options_list=["--tail"], type=_validators.count, help="Show only that many last lines.")
        c.argument("follow", options_list=["--follow"], action="store_true", help="Go on with new lines until Ctrl-C.")
