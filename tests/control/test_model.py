"""What records mean: volumes, plans, quotas, sizes, logins."""

from pathlib import PurePosixPath
from typing import Any

import pytest

from azext_batchai.service.arm.errors import ArmError
from azext_batchai.service.engine.base import TaskError
from azext_batchai.service.model import mount_paths, mounts, node_specs, parents, vm_sizes
from azext_batchai.service.store import Record
from harness.plane import ACCOUNT, EXPERIMENT, SUBSCRIPTION, USER, WORKSPACE, Plane, job_path

SHARE = {
    "accountName": "Acct",
    "azureFileUrl": "https://acct.file.core.windows.net/share",
    "credentials": {"accountKey": "a2V5"},
    "relativeMountPath": "afs",
}
BLOBS = {
    "accountName": "acct",
    "containerName": "box",
    "credentials": {"accountKey": "a2V5"},
    "relativeMountPath": "bfs",
}
SERVER = {
    "properties": {
        "vmSize": "S",
        "sshConfiguration": {"userAccountSettings": USER},
        "dataDisks": {"diskSizeInGB": 1, "diskCount": 1, "storageAccountType": "Standard_LRS"},
    }
}


def server(directory: str = "") -> dict[str, Any]:
    volume = {"fileServer": {"id": f"{WORKSPACE}/fileServers/f"}, "relativeMountPath": "nfs"}
    return {"fileServers": [{**volume, "sourceDirectory": directory} if directory else volume]}


async def test_volumes_are_names(plane: Plane) -> None:
    await plane.ask("PUT", f"{WORKSPACE}/fileServers/f", SERVER)
    found = mounts.volumes_of(
        plane.service,
        {
            "azureFileShares": [SHARE],
            "azureBlobFileSystems": [BLOBS],
            **server("/a/b"),
            "unmanagedFileSystems": [{"mountCommand": "mount x", "relativeMountPath": "u"}],
        },
    )
    assert [(volume.service, volume.account, volume.name, volume.relative_path) for volume in found][:2] == [
        ("files", "acct", "share", "afs"),
        ("blobs", "acct", "box", "bfs"),
    ]
    nfs, unmanaged = found[2:]
    assert (nfs.service, nfs.name, nfs.directory, nfs.relative_path) == ("nfs", "data", "a/b", "nfs")
    assert plane.service.storage.folder(nfs.account, nfs.service, nfs.name).is_dir()
    assert (unmanaged.service, unmanaged.mount_command, unmanaged.relative_path) == ("unmanaged", "mount x", "u")
    assert mounts.volumes_of(plane.service, server())[0].directory == ""


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"azureFileUrl": "https://acct.file.core.windows.net/"}, "is not an Azure file share URL"),
        ({"accountName": "other"}, "Account 'other' does not own"),
    ],
)
async def test_a_share_that_cannot_be_is_named(plane: Plane, change: dict[str, str], says: str) -> None:
    with pytest.raises(TaskError) as caught:
        mounts.volumes_of(plane.service, {"azureFileShares": [{**SHARE, **change}]})
    assert (caught.value.code, caught.value.message) == ("AZFMountError", "Unable to mount Azure File")
    assert says in caught.value.details["Info"]


@pytest.mark.parametrize("missing", ["never made", "no file server", "going"])
async def test_a_file_server_that_is_not_there_is_named(plane: Plane, missing: str) -> None:
    volume = server()
    if missing == "no file server":
        volume["fileServers"][0]["fileServer"]["id"] = EXPERIMENT
    if missing == "going":
        await plane.ask("PUT", f"{WORKSPACE}/fileServers/f", SERVER)
        await plane.call("DELETE", f"{WORKSPACE}/fileServers/f")
    with pytest.raises(TaskError) as caught:
        mounts.volumes_of(plane.service, volume)
    assert caught.value.code == "NFSMountError"
    assert "doesn't exist" in caught.value.details["Info"]


@pytest.mark.parametrize("directory", ["../..", "..", "a/../..", "../../../../../etc"])
async def test_a_source_directory_does_not_lead_out_of_its_server(plane: Plane, directory: str) -> None:
    """Whatever the name says, an engine that shows folders of this machine shows none outside."""
    from azext_batchai.service.engine.local.folder_files import FolderFiles

    await plane.ask("PUT", f"{WORKSPACE}/fileServers/f", SERVER)
    [volume] = mounts.volumes_of(plane.service, server(directory))
    with pytest.raises(TaskError) as caught:
        FolderFiles(plane.service.storage).folder(volume)
    assert caught.value.code == "NFSMountError"
    assert "doesn't exist" in caught.value.details["Info"]
    [inside] = mounts.volumes_of(plane.service, server("."))
    assert FolderFiles(plane.service.storage).folder(inside).is_dir()


async def test_a_plan_says_all_that_a_job_asked_for(plane: Plane) -> None:
    await plane.call("PUT", ACCOUNT, {"location": "eastus"})
    await plane.cluster(2)
    await plane.job(
        "a",
        2,
        mountVolumes={"azureFileShares": [SHARE]},
        jobPreparation={"commandLine": "prepare"},
        inputDirectories=[{"id": "IN", "path": "$AZ_BATCHAI_JOB_MOUNT_ROOT/afs/in"}],
        outputDirectories=[
            {"id": "OUT", "pathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/o", "pathSuffix": "s"},
            {"id": "MORE", "pathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/m"},
        ],
        environmentVariables=[{"name": "A", "value": "1"}],
        containerSettings={
            "imageSourceRegistry": {
                "image": "busybox",
                "serverUrl": "registry",
                "credentials": {"username": "me", "password": "hidden"},
            },
            "shmSize": "1g",
        },
    )
    plan = plane.world.of_job("a").plan
    record = plane.record(job_path("a"))
    assert record
    assert (plan.workspace, plan.experiment, plan.name, plan.attempt) == ("ws", "exp", "a", 1)
    assert (plan.job_key, list(plan.node_ids)) == (record.key, plane.nodes_of("a"))
    assert list(plan.addresses) == [plane.node(node).address for node in plan.node_ids]
    assert len(set(plan.addresses)) == 2 and all(address.startswith("10.") for address in plan.addresses)
    assert [volume.name for volume in plan.volumes] == ["share"]
    assert (plan.output_prefix, plan.preparation) == ("$AZ_BATCHAI_MOUNT_ROOT/out", "prepare")
    assert plan.output_segment == record.properties["jobOutputDirectoryPathSegment"]
    assert plan.directories == (("OUT", "$AZ_BATCHAI_MOUNT_ROOT/o", "s"), ("MORE", "$AZ_BATCHAI_MOUNT_ROOT/m", ""))
    assert plan.inputs == (("IN", "$AZ_BATCHAI_JOB_MOUNT_ROOT/afs/in"),)
    assert dict(plan.environment) == {"A": "1"}
    assert [process.command_line for process in plan.processes] == ["true"]
    assert plan.container
    assert (plan.container.image, plan.container.server_url, plan.container.shm_size) == ("busybox", "registry", "1g")
    assert (plan.container.user_name, plan.container.password) == ("me", "hidden")
    assert plan.notes == ()


async def test_a_plain_plan_has_no_container_and_no_preparation(plane: Plane) -> None:
    await plane.cluster(1)
    await plane.job("a", containerSettings={"imageSourceRegistry": {"image": "busybox"}})
    container = plane.world.of_job("a").plan.container
    assert container
    assert (container.server_url, container.user_name, container.password, container.shm_size) == ("", "", "", "")
    await plane.end("a")
    await plane.job("b")
    plan = plane.world.of_job("b").plan
    assert (plan.container, plan.preparation, plan.volumes) == (None, None, ())


async def test_a_container_that_is_not_used_is_told(empty_plane: Plane) -> None:
    plane = empty_plane
    plane.set(containers_on_host=True)
    await plane.new()
    await plane.cluster(1)
    await plane.job("a", containerSettings={"imageSourceRegistry": {"image": "busybox"}})
    plan = plane.world.of_job("a").plan
    assert plan.container is None
    assert len(plan.notes) == 1 and "busybox is not used" in plan.notes[0]
    await plane.end("a")
    await plane.job("b")
    assert plane.world.of_job("b").plan.notes == ()


async def test_a_volume_that_cannot_be_mounted_fails_the_job(plane: Plane) -> None:
    await plane.cluster(1)
    await plane.job("a", mountVolumes=server())
    assert (plane.state("a"), plane.error("a")) == ("failed", "NFSMountError")
    assert await plane.counts() == {"idle": 1}


async def test_a_secret_that_is_not_there_any_more_is_empty(plane: Plane) -> None:
    await plane.cluster(0)
    await plane.job("a", secrets=[{"name": "S", "value": "hidden"}])
    record = plane.record(job_path("a"))
    assert record
    with plane.service.store.transaction():
        plane.service.store.forget_secrets(record.key)
    assert node_specs.environment(plane.service, record, record.properties, "properties") == {"S": ""}


async def test_the_quota_of_clusters_is_of_a_location(empty_plane: Plane) -> None:
    plane = empty_plane
    plane.set(cluster_quota=2)
    await plane.new()
    west = WORKSPACE.replace("/ws", "/west")
    foreign = WORKSPACE.replace(SUBSCRIPTION, "99999999-2222-3333-4444-555555555555")
    await plane.call("PUT", west, {"location": "westus"})
    await plane.call("PUT", foreign, {"location": "eastus"})
    for name, workspace in (("a", WORKSPACE), ("b", WORKSPACE), ("a", west), ("a", foreign)):
        assert (await plane.cluster(name=name, workspace=workspace)).status == 202
    answer = await plane.cluster(name="third")
    assert (answer.status, answer.code) == (409, "ClusterQuotaReached")
    assert "Maximum allowed: 2, Current in use: 2." in answer.body["error"]["message"]
    await plane.ask("DELETE", f"{WORKSPACE}/clusters/a")
    assert (await plane.cluster(name="third")).status == 202


async def test_a_target_over_the_quota_is_refused(empty_plane: Plane) -> None:
    plane = empty_plane
    plane.set(vcpu_quota=12)
    await plane.new()
    for target, status in ({"nodes": 2}, 202), ({"nodes": 3}, 409), ({"auto": (2, 9)}, 202), ({"auto": (3, 9)}, 409):
        answer = await plane.cluster(name=f"c{status}{len(target)}{'auto' in target}", vmSize="STANDARD_NC6", **target)
        assert answer.status == status, target
        if status == 409:
            assert "Maximum allowed: 12, Current in use: 0." in answer.body["error"]["message"]


async def test_a_size_that_is_not_in_the_catalogue_promises_no_gpus(plane: Plane) -> None:
    await plane.cluster(1, vmSize="STANDARD_H16")
    assert [spec.gpus for spec in plane.world.nodes.values()] == [0]


async def test_nothing_is_reserved_below_what_is_being_deleted(plane: Plane) -> None:
    experiment = plane.record(EXPERIMENT)
    assert experiment
    record = Record(f"{EXPERIMENT}/x", "job", experiment.key, {"properties": {"executionState": "queued"}})
    await plane.call("DELETE", WORKSPACE)
    with pytest.raises(ArmError, match="The workspace ws is being deleted"):
        parents.reserve(plane.service, record)
    assert plane.service.store.get(record.key) is None


@pytest.mark.parametrize(
    ("path", "root", "rest"),
    [
        ("$AZ_BATCHAI_MOUNT_ROOT", "$AZ_BATCHAI_MOUNT_ROOT", "."),
        ("$AZ_BATCHAI_MOUNT_ROOT/", "$AZ_BATCHAI_MOUNT_ROOT", "."),
        ("${AZ_BATCHAI_MOUNT_ROOT}/nfs//a/./b", "$AZ_BATCHAI_MOUNT_ROOT", "nfs/a/b"),
        ("/mnt/batch/tasks/shared/LS_root/mounts/nfs", "$AZ_BATCHAI_MOUNT_ROOT", "nfs"),
        ("$AZ_BATCHAI_JOB_MOUNT_ROOT/afs/..", "$AZ_BATCHAI_JOB_MOUNT_ROOT", "."),
        ("${AZ_BATCHAI_JOB_MOUNT_ROOT}/../x", "$AZ_BATCHAI_JOB_MOUNT_ROOT", "../x"),
    ],
)
def test_paths_below_a_mount_root(path: str, root: str, rest: str) -> None:
    assert mount_paths.below_root(path) == (root, PurePosixPath(rest))


@pytest.mark.parametrize("path", ["", "/data", "nfs", "$AZ_BATCHAI_MOUNT_ROOTS/nfs", "x/$AZ_BATCHAI_MOUNT_ROOT/nfs"])
def test_other_paths_are_below_no_mount_root(path: str) -> None:
    assert mount_paths.below_root(path) is None


@pytest.mark.parametrize(
    ("path", "place"),
    [("nfs", "nfs"), ("nfs/a/b", "nfs"), ("deep/er/x", "deep/er"), ("nfsx", None), ("deep", None), ("nfs/../..", None)],
)
def test_the_volume_that_a_path_lies_on(path: str, place: str | None) -> None:
    mounts_of = {
        "azureFileShares": [{"relativeMountPath": "other"}, {"relativeMountPath": "nfs"}],
        "fileServers": [{"relativeMountPath": "deep/er"}],
    }
    places = mount_paths.mounted_places(mounts_of)
    assert places == [PurePosixPath("other"), PurePosixPath("nfs"), PurePosixPath("deep/er")]
    found = mount_paths.place_of(PurePosixPath(path), places)
    assert found == (PurePosixPath(place) if place else None)


@pytest.mark.parametrize(
    ("name", "family", "vcpus", "gpus"),
    [
        ("STANDARD_D1", "D", 1, 0),
        ("STANDARD_D2", "D", 2, 0),
        ("STANDARD_D3", "D", 4, 0),
        ("STANDARD_D4", "D", 8, 0),
        ("STANDARD_D11", "D", 2, 0),
        ("STANDARD_D12", "D", 4, 0),
        ("STANDARD_D13", "D", 8, 0),
        ("STANDARD_D14", "D", 16, 0),
        ("STANDARD_D5_V2", "Dv2", 16, 0),
        ("Standard_D15_v2", "Dv2", 20, 0),
        ("STANDARD_D3_V2", "Dv2", 4, 0),
        ("STANDARD_NC6", "NC", 6, 1),
        ("STANDARD_NC24R", "NC", 24, 4),
        ("STANDARD_NC12S_V3", "NCv3", 12, 2),
        ("STANDARD_NV6_PROMO", "NV", 6, 1),
        ("STANDARD_ND24RS", "ND", 24, 4),
        ("STANDARD_D2_V3", None, 1, 0),
        ("STANDARD_D99", None, 1, 0),
        ("STANDARD_NC7", None, 1, 0),
        ("STANDARD_NV6_V9", None, 1, 0),
        ("S", None, 1, 0),
    ],
)
def test_the_catalogue_of_sizes(name: str, family: str | None, vcpus: int, gpus: int) -> None:
    size = vm_sizes.look_up(name)
    assert (size and size.family) == family
    assert vm_sizes.vcpus_of(name) == vcpus
    assert (size.gpus if size else 0) == gpus
