"""The options of `workspace` and `list-usages`."""

from __future__ import annotations

from typing import Any

from azext_batchai import _validators
from azext_batchai.command_line import options


def load_arguments(self: Any) -> None:
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
    with self.argument_context("batchai list-usages") as c:
        c.argument("location", options.location_type(self), help="Location whose usages and limits to list.")
