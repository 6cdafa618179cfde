"""Options that several commands share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from azure.cli.core.commands.parameters import get_location_type

from azext_batchai import _completers, _validators
from azext_batchai._validators import valid_mount_path, valid_name, valid_name_or_id


@contextlib.contextmanager
def command(self: Any, verb: str) -> Iterator[Any]:
    """The scope of one command that works in a resource group."""
    with self.argument_context(f"batchai {verb}") as c:
        c.argument(
            "resource_group_name", validator=_validators.valid_resource_group, completer=_completers.groups
        )
        yield c


def workspace_name(c: Any, options_list: list[str] | None = None, id_part: str | None = None) -> None:
    name(c, "workspace_name", "workspace", options_list or ["--workspace", "-w"], id_part)


def experiment_name(c: Any, id_part: str | None = None) -> None:
    name(c, "experiment_name", "experiment", ["--experiment", "-e"], id_part)


def name(c: Any, dest: str, noun: str, options_list: list[str], id_part: str | None = None) -> None:
    # A default is for where things are, never for what is made, shown or deleted.
    place = _DEFAULTS.get(noun) in options_list
    c.argument(
        dest,
        options_list=options_list,
        id_part=id_part,
        validator=valid_name(dest, noun),
        completer=_completers.names_of(noun),
        help=f"Name of the {noun}.{configurable(noun) if place else ''}",
        **({"configured_default": noun} if place else {}),
    )


# What az keeps a default for -> the option by which it is the place of something else.
_DEFAULTS = {"workspace": "-w", "experiment": "-e", "cluster": "-c"}


def configurable(noun: str) -> str:
    """The sentence of the help on the default that az keeps for it."""
    return f" You can configure the default {noun} using `az config set defaults.{noun}=NAME`."


def cluster_to_run_on(c: Any, text: str, **more: Any) -> None:
    c.argument(
        "cluster",
        options_list=["--cluster", "-c"],
        validator=valid_name_or_id("cluster", "cluster"),
        completer=_completers.names_of("cluster"),
        help=text,
        **more,
    )


def expiry(c: Any) -> None:
    c.argument(
        "expiry",
        options_list=["--expiry"],
        type=_validators.expiry,
        help="Minutes for which the download URLs are valid, from 5 to 600.",
    )


def password(c: Any, variable: str, text: str) -> None:
    c.argument(
        "password",
        options_list=["--password", "-p"],
        help=f"{text} To keep it off the command line, give `-` to be asked for it, or set {variable}.",
    )


def vm_size(c: Any, text: str) -> None:
    c.argument("vm_size", options_list=["--vm-size", "-s"], completer=_completers.vm_sizes, help=text)


def location_type(self: Any) -> Any:
    # A display name is shortened without asking Azure for the list of locations, as the common type would.
    location = get_location_type(self.cli_ctx)
    location.settings["type"] = _validators.location
    return location


def config_file_argument(self: Any, scope: str, arg_group: str | None = None) -> None:
    with self.argument_context(scope, arg_group=arg_group) as c:
        c.argument(
            "json_file",
            options_list=["--config-file", "-f"],
            help="Path of a JSON file with the body of the request, or its `properties`, as the Batch AI REST API "
            "takes it; `-` for standard input. Options on the command line come before what the file says.",
        )


def admin_account(self: Any, scope: str, where: str) -> None:
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
        password(c, "AZURE_BATCHAI_PASSWORD", "Password of the administrator's account.")


def storage_mounts(self: Any, scope: str, root: str, where: str) -> None:
    with self.argument_context(scope, arg_group="File Server Mount") as c:
        c.argument(
            "nfs",
            options_list=["--nfs"],
            validator=valid_name_or_id("nfs", "file server"),
            help=f"File server to mount {where}: its name, or its ARM ID where it is in another workspace.",
        )
        mount_path(c, "nfs_mount_path", "--nfs-mount-path", "file server", root)
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
        mount_path(c, "afs_mount_path", "--afs-mount-path", "file share", root)
        c.argument("container_name", options_list=["--bfs-name"], help=f"Azure blob container to mount {where}.")
        mount_path(c, "container_mount_path", "--bfs-mount-path", "container", root)


def mount_path(c: Any, dest: str, option: str, what: str, root: str) -> None:
    c.argument(
        dest,
        options_list=[option],
        validator=valid_mount_path(dest, option),
        help=f"Where to mount the {what}, relative to ${root}.",
    )
