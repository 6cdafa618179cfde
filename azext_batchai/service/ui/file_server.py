"""The page of a file server: where it is, what it has, who mounts it."""

from __future__ import annotations

from typing import Any

from azext_batchai.service.arm.ids import key_of
from azext_batchai.service.ui import addresses, parts
from azext_batchai.service.ui.html import Child, Html, element
from azext_batchai.service.ui.view import Page, Redirect, View


def _path(view: View) -> str:
    group, workspace, name = view.names
    return view.wire.batchai(group, "workspaces", workspace, "fileServers", name)


async def page(view: View) -> Page:
    """Everything about one file server."""
    body = await view.wire.get(_path(view))
    record = view.service.store.get(key_of(body["id"]))
    state = "deleting" if record and record.internal.get("deleting") else body["properties"]["provisioningState"]
    return Page(
        body["name"],
        element(
            "div",
            element("h1", body["name"], " ", parts.state(state)),
            _facts(body["properties"]),
            _login(body["properties"]),
            _mounted(view, body),
            _commands(view, body),
        ),
        # Clusters that mount it come and go.
        topics=(key_of(body["id"]), key_of(body["id"]).rpartition("/fileservers/")[0] + "/clusters/"),
        trail=addresses.trail(body["id"], view.service.subscription),
    )


def disks_text(disks: dict[str, Any]) -> str:
    """`2 × 10 GB Standard_LRS`"""
    return f"{disks['diskCount']} × {disks['diskSizeInGB']} GB {disks['storageAccountType']}"


def endpoint(properties: dict[str, Any]) -> tuple[str, int] | None:
    """Where its SSH server listens, as soon as it does."""
    place = properties.get("mountSettings", {})
    if not place.get("fileServerPublicIP"):
        return None
    return place["fileServerPublicIP"], int(place.get("fileServerPublicPort", 22))


def _user(properties: dict[str, Any]) -> str:
    return str(properties["sshConfiguration"]["userAccountSettings"]["adminUserName"])


def _facts(properties: dict[str, Any]) -> Html:
    place, where = properties.get("mountSettings", {}), endpoint(properties)
    return parts.facts(
        (
            ("State", [properties["provisioningState"], " since ", _since(properties)]),
            ("VM size", properties["vmSize"]),
            ("Disks", disks_text(properties["dataDisks"])),
            ("Caching", properties["dataDisks"]["cachingType"]),
            ("Address", f"{where[0]}:{where[1]}" if where else None),
            ("Address inside", place.get("fileServerInternalIP")),
            ("Exports", place.get("mountPoint")),
            ("Folder on this machine", element("code", place["localPath"]) if place.get("localPath") else None),
            ("User", _user(properties)),
            ("Made", parts.moment(properties["creationTime"])),
        )
    )


def _since(properties: dict[str, Any]) -> Html | None:
    return parts.moment(properties["provisioningStateTransitionTime"])


def _login(properties: dict[str, Any]) -> Html:
    where = endpoint(properties)
    if not where:
        return parts.section("Logging in", parts.empty("Nobody can log in to it."))
    address, port = where
    return parts.section(
        "Logging in",
        parts.copyable(f"ssh {_user(properties)}@{address} -p {port}"),
        parts.copyable(f"sftp -P {port} {_user(properties)}@{address}"),
    )


def _mounted(view: View, body: dict[str, Any]) -> Html:
    group, workspace, name = view.names
    rows: list[tuple[Child, ...]] = []
    for cluster in view.service.store.all_of("cluster", f"/subscriptions/{view.wire.subscription}/"):
        volumes = cluster.properties.get("nodeSetup", {}).get("mountVolumes", {})
        for reference in volumes.get("fileServers", ()):
            if key_of(reference["fileServer"]["id"]) == key_of(body["id"]):
                where = f"$AZ_BATCHAI_MOUNT_ROOT/{reference['relativeMountPath']}"
                link = element("a", cluster.name, href=view.address(cluster.body["id"]))
                folder = reference.get("sourceDirectory") or "all of it"
                rows.append((link, element("code", where), folder, reference.get("mountOptions")))
    shown: Child = parts.empty("No cluster mounts it.")
    if rows:
        shown = parts.table(("Cluster", "Mounted at", "Folder", "Options"), rows, "Clusters whose nodes mount it")
    flags = ("--vm-size", body["properties"]["vmSize"], "--target", "1", "--nfs", name)
    return parts.section(
        "Mounting it",
        shown,
        element("p", "A cluster is made to mount it, at ", element("code", "$AZ_BATCHAI_MOUNT_ROOT/nfs"), ":"),
        parts.command("cluster", "create", *view.scope(group), "-w", workspace, "-n", "CLUSTER", *flags),
    )


def _commands(view: View, body: dict[str, Any]) -> Html:
    group, workspace, name = view.names
    words = (*view.scope(group), "-w", workspace, "-n", name)
    question = f"Delete the file server {name} with all that is on its disks?"
    address = view.address(body["id"], "delete")
    return parts.section(
        "Commands",
        parts.ask(view, "Delete", address, question, "file-server", "delete", *words, "--yes"),
        parts.command("file-server", "show", *words),
        parts.command("file-server", "delete", *words),
    )


async def delete(view: View) -> Redirect:
    """Begin to delete the file server."""
    body = await view.wire.get(_path(view))
    await view.wire.send("DELETE", _path(view))
    return Redirect(view.address(body["id"].rpartition("/fileservers/")[0]))
