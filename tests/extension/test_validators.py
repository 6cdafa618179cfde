"""What is refused before any request is made, with which exit code and which words."""

import argparse

import pytest

from azext_batchai import _validators

IN_WORKSPACE = ("-g", "g", "-w", "w")
ID = "/subscriptions/s/resourceGroups/g/providers/Microsoft.BatchAI/workspaces/w/fileServers/f"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("workspace", "show", "-g", "g", "-n", "a b"), "'a b' is not a valid workspace name."),
        (("workspace", "show", "-g", "g", "-n", "x" * 65), "is not a valid workspace name."),
        (("workspace", "show", "-g", "g/h", "-n", "w"), "'g/h' is not a valid resource group name."),
        (("cluster", "show", *IN_WORKSPACE, "-n", "c.d"), "'c.d' is not a valid cluster name."),
        (("experiment", "create", *IN_WORKSPACE, "-n", "ü"), "'ü' is not a valid experiment name."),
        (("cluster", "create", *IN_WORKSPACE, "-n", "c", "--min", "1"), "--min is given without --max."),
        (("cluster", "create", *IN_WORKSPACE, "-n", "c", "--max", "1"), "--max is given without --min."),
        (("cluster", "auto-scale", *IN_WORKSPACE, "-n", "c", "--min", "2", "--max", "1"), "--min 2 is greater"),
        (("cluster", "create", *IN_WORKSPACE, "-n", "c", "--subnet", "x"), "--subnet 'x' is not an ARM resource ID."),
        (("cluster", "create", *IN_WORKSPACE, "-n", "c", "--nfs", "a/b"), "'a/b' is neither a file server name"),
        (("cluster", "create", *IN_WORKSPACE, "-n", "c", "--afs-mount-path", "/a"), "not a relative mount path"),
        (("cluster", "create", *IN_WORKSPACE, "-n", "c", "--bfs-mount-path", "a/../b"), "not a relative mount path"),
        (("cluster", "create", *IN_WORKSPACE, "-n", "c", "-t", "1"), "The VM size of the nodes is missing."),
        (("cluster", "create", *IN_WORKSPACE, "-n", "c", "-s", "x"), "The number of nodes is missing."),
        (("file-server", "create", *IN_WORKSPACE, "-n", "f"), "--vm-size, --disk-count, --disk-size, --storage-sku"),
        (("job", "file", "stream", *IN_WORKSPACE, "-e", "e", "-j", "j", "-f", "a/b"), "'a/b' is not a file name."),
    ],
)
def test_refused_without_a_request(az, server, arguments, message):
    done = az("batchai", *arguments)
    assert done.code == 1
    assert message in done.stderr.splitlines()[0]
    assert len(done.stderr.splitlines()) > 1, "no recommendation"
    assert not server.requests


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cluster", "resize", *IN_WORKSPACE, "-n", "c", "-t", "-1"), "'-1' is not a number of nodes"),
        (("cluster", "resize", *IN_WORKSPACE, "-n", "c", "-t", "two"), "'two' is not a number of nodes"),
        (("job", "file", "list", *IN_WORKSPACE, "-e", "e", "-j", "j", "--expiry", "4"), "from 5 to 600"),
        (("job", "wait", *IN_WORKSPACE, "-e", "e", "-n", "j", "--interval", "0"), "'0' is not a whole number"),
        (("cluster", "create", *IN_WORKSPACE, "-n", "c", "--vm-priority", "cheap"), "'cheap' is not a valid value"),
        (("cluster", "create", *IN_WORKSPACE, "-n", "c", "--target", "1", "--tarrget", "2"), "--tarrget"),
        (("workspace", "create", "-n", "w"), "--resource-group/-g"),
        (("list-usages",), "--location/-l"),
        (("cluster", "fly"), "fly"),
    ],
)
def test_refused_by_the_parser(az, server, arguments, message):
    done = az("batchai", *arguments)
    assert done.code == 2
    assert message in done.stderr
    assert not server.requests


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cluster", "show", *IN_WORKSPACE, "-n", "a b"), "'a b' is not a valid cluster name"),
        (("cluster", "auto-scale", *IN_WORKSPACE, "-n", "c", "--min", "2", "--max", "1"), "--min 2 is greater"),
        (("cluster", "create", *IN_WORKSPACE, "-n", "c", "--min", "2"), "without --max"),
        (("job", "validate", "-f", "/nowhere/job.json"), "cannot be read"),
        (("job", "sweep", *IN_WORKSPACE, "--param", "lr=1..x", "--", "true"), "'x' of 1..x is no number"),
        (("job", "run", *IN_WORKSPACE, "--env", "x", "--", "true"), "'x' is no variable"),
    ],
)
def test_refused_by_the_command(az, server, arguments, message):
    """What az can read and the command cannot take: the exit code of azclierror, as of az's own commands."""
    done = az("batchai", *arguments)
    assert done.code == 1
    assert message in done.stderr
    assert not server.requests


def test_exit_codes_of_error_classes():
    from azure.cli.core import azclierror, util

    classes = [kind for kind in vars(azclierror).values() if isinstance(kind, type)]
    errors = [kind for kind in classes if issubclass(kind, azclierror.AzCLIError)]
    codes = {kind.__name__: util.handle_exception(kind("said")) for kind in errors}
    assert codes.pop("ResourceNotFoundError") == 3
    assert set(codes.values()) == {1}


def test_deletions_ask(az, server):
    done = az("batchai", "workspace", "delete", "-g", "g", "-n", "w")
    assert done.code == 1
    assert "Use --yes" in done.stderr
    assert not server.requests


@pytest.mark.parametrize("value", ["a", "A-b_9", "x" * 64, ID])
def test_name_or_id(value):
    _validators.valid_name_or_id("nfs", "file server")(argparse.Namespace(nfs=value))


@pytest.mark.parametrize("value", ["data", "a/b", ".hidden"])
def test_mount_path(value):
    _validators.valid_mount_path("path", "--path")(argparse.Namespace(path=value))


@pytest.mark.parametrize("name", ["g", "my.group_(1)-x"])
def test_resource_group(name):
    _validators.valid_resource_group(argparse.Namespace(resource_group_name=name))


def test_display_name_of_a_location():
    assert _validators.location("North Europe") == "northeurope"
