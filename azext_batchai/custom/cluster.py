"""az batchai cluster ..."""

# The parameters of a command are its flags. pylint: disable=too-many-positional-arguments

from __future__ import annotations

import functools
from typing import Any

from knack.log import get_logger

from azext_batchai import _client_factory as clients
from azext_batchai.command_line import scale
from azext_batchai.command_line.progress import Spinner, finish, finish_removal
from azext_batchai.transport.errors import explained

logger = get_logger(__name__)


def create_cluster(  # pylint: disable=too-many-locals
    cmd: Any,
    client: Any,
    resource_group_name: str,
    workspace_name: str,
    cluster_name: str,
    json_file: str | None = None,
    user_name: str | None = None,
    ssh_key: str | None = None,
    password: str | None = None,
    generate_ssh_keys: bool | None = None,
    image: str | None = None,
    custom_image: str | None = None,
    use_auto_storage: bool = False,
    vm_size: str | None = None,
    vm_priority: str | None = None,
    target: int | None = None,
    min_nodes: int | None = None,
    max_nodes: int | None = None,
    subnet: str | None = None,
    nfs: str | None = None,
    nfs_mount_path: str = "nfs",
    azure_file_share: str | None = None,
    afs_mount_path: str = "afs",
    container_name: str | None = None,
    container_mount_path: str = "bfs",
    account_name: str | None = None,
    account_key: str | None = None,
    setup_task: str | None = None,
    setup_task_output: str | None = None,
    engine: str | None = None,
) -> Any:
    from azure.mgmt.batchai import models

    from azext_batchai.command_line import config_file
    from azext_batchai.command_line.engine import engine_header
    from azext_batchai.command_line.image import image_reference
    from azext_batchai.ssh import passwords, user_account
    from azext_batchai.storage import auto_storage
    from azext_batchai.storage.mounts import MountFlags, Mounts
    from azext_batchai.transport.arm import Arm
    from azext_batchai.transport.existing import refuse_existing

    # Everything that can be wrong on this side comes before the first request.
    beside: dict[str, Any] = {}
    if json_file:
        cluster, beside = config_file.load_beside(json_file, "ClusterCreateParameters", ("engine",))
    else:
        cluster = models.ClusterCreateParameters(vm_priority="dedicated")
    cluster.vm_priority = vm_priority or cluster.vm_priority
    cluster.vm_size = vm_size or cluster.vm_size
    cluster.scale_settings = scale.scale_settings(target, min_nodes, max_nodes) or cluster.scale_settings
    if image or custom_image:
        cluster.virtual_machine_configuration = models.VirtualMachineConfiguration(
            image_reference=image_reference(image, custom_image)
        )
    _require_size_and_scale(cluster)
    if generate_ssh_keys:
        ssh_key = ssh_key or user_account.generate_keys()
    password = passwords.chosen(password, user_account.PASSWORD_VARIABLE, "Password of the nodes: ", confirm=True)
    # On this machine the article's command line without a key has to work too; in Azure a key is the user's decision.
    cluster.user_account_settings = user_account.complete(
        cluster.user_account_settings, user_name, ssh_key, password, make_missing_key=clients.is_local(cmd.cli_ctx)
    )

    refuse_existing(client.clusters.get, "cluster", resource_group_name, workspace_name, cluster_name)
    flags = MountFlags(
        *(nfs, nfs_mount_path, azure_file_share, afs_mount_path, container_name, container_mount_path),
        *(account_name, account_key),
    )
    mounts = Mounts(cmd.cli_ctx, client, resource_group_name, workspace_name, flags)
    volumes = mounts.complete(
        cluster.node_setup.mount_volumes if cluster.node_setup else None,
        functools.partial(_require_same_subnet, subnet),
    )
    if use_auto_storage:
        location = client.workspaces.get(resource_group_name, workspace_name).location
        volumes = auto_storage.provide(Arm(client), location).mount(mounts, volumes)
    if volumes:
        cluster.node_setup = cluster.node_setup or models.NodeSetup()
        cluster.node_setup.mount_volumes = volumes
    _set_setup_task(cluster, setup_task, setup_task_output)
    if subnet:
        cluster.subnet = models.ResourceId(id=subnet)
    headers = engine_header(cmd.cli_ctx, engine or beside.get("engine"))
    poller = client.clusters.begin_create(resource_group_name, workspace_name, cluster_name, cluster, headers=headers)
    created = finish(cmd.cli_ctx, poller, f"Creating cluster {cluster_name}")
    if created.allocation_state == "resizing" and Spinner(cmd.cli_ctx).visible:
        logger.warning(
            "The nodes are being allocated; watch them with: az batchai cluster show -g %s -w %s -n %s -o table",
            *(resource_group_name, workspace_name, cluster_name),
        )
    return created


def list_clusters(client: Any, resource_group_name: str, workspace_name: str) -> Any:
    return list(client.list_by_workspace(resource_group_name, workspace_name))


def show_cluster(client: Any, resource_group_name: str, workspace_name: str, cluster_name: str) -> Any:
    with explained():
        return client.get(resource_group_name, workspace_name, cluster_name)


def resize_cluster(client: Any, resource_group_name: str, workspace_name: str, cluster_name: str, target: int) -> Any:
    settings = scale.manual(target)
    return _update(client, resource_group_name, workspace_name, cluster_name, settings)


def auto_scale_cluster(
    client: Any, resource_group_name: str, workspace_name: str, cluster_name: str, min_nodes: int, max_nodes: int
) -> Any:
    settings = scale.auto_scale(min_nodes, max_nodes)
    return _update(client, resource_group_name, workspace_name, cluster_name, settings)


def delete_cluster(
    cmd: Any, client: Any, resource_group_name: str, workspace_name: str, cluster_name: str, no_wait: bool = False
) -> None:
    poller = client.begin_delete(resource_group_name, workspace_name, cluster_name, polling=not no_wait)
    finish_removal(cmd.cli_ctx, poller, f"Deleting cluster {cluster_name} and its nodes")


def _update(client: Any, group: str, workspace: str, cluster: str, settings: Any) -> Any:
    from azure.mgmt.batchai import models

    return client.update(group, workspace, cluster, models.ClusterUpdateParameters(scale_settings=settings))


def _set_setup_task(cluster: Any, command_line: str | None, output: str | None) -> None:
    from azure.mgmt.batchai import models

    from azext_batchai.storage.mounts import setup_output

    task = cluster.node_setup.setup_task if cluster.node_setup else None
    if command_line:
        cluster.node_setup = cluster.node_setup or models.NodeSetup()
        cluster.node_setup.setup_task = models.SetupTask(
            command_line=command_line,
            std_out_err_path_prefix=output or setup_output(cluster.node_setup.mount_volumes),
        )
    elif task and output:
        task.std_out_err_path_prefix = output
    elif output:
        logger.warning("--setup-task-output has no effect: there is no setup task.")


def _require_size_and_scale(cluster: Any) -> None:
    from azure.cli.core.azclierror import RequiredArgumentMissingError

    if not cluster.vm_size:
        raise RequiredArgumentMissingError(
            "The VM size of the nodes is missing.",
            recommendation="Give --vm-size (for example Standard_NC6), or vmSize in the configuration file.",
        )
    settings = cluster.scale_settings
    if not settings or not (settings.manual or settings.auto_scale):
        raise RequiredArgumentMissingError(
            "The number of nodes is missing.",
            recommendation="Give --target, or --min and --max, or scaleSettings in the configuration file.",
        )


def _require_same_subnet(subnet: str | None, file_server: Any) -> None:
    if subnet and file_server.subnet and file_server.subnet.id.lower() != subnet.lower():
        from azure.cli.core.azclierror import InvalidArgumentValueError

        raise InvalidArgumentValueError(
            f"The file server {file_server.name} is in another subnet than the one given for the cluster.",
            recommendation="Leave --subnet out: the cluster is put into the subnet of its file server.",
        )
