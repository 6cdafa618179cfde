"""Values offered on TAB. None needs a login; names are asked of a service that runs on this machine."""

from __future__ import annotations

from typing import Any

from azure.cli.core.decorators import Completer

# The sizes the Batch AI documentation and its recipes use; the service takes any name.
_VM_SIZES = (
    "Standard_D1", "Standard_D2_v2", "Standard_D3_v2", "Standard_D4_v2",
    "Standard_NC6", "Standard_NC12", "Standard_NC24", "Standard_NC24r",
    "Standard_NC6s_v2", "Standard_NC12s_v2", "Standard_NC24s_v2", "Standard_NC24rs_v2",
    "Standard_NC6s_v3", "Standard_NC12s_v3", "Standard_NC24s_v3", "Standard_NC24rs_v3",
    "Standard_ND6s", "Standard_ND12s", "Standard_ND24s", "Standard_ND24rs",
    "Standard_NV6", "Standard_NV12", "Standard_NV24",
)  # fmt: skip


@Completer
def vm_sizes(cmd: Any, prefix: str, namespace: Any, **_: Any) -> list[str]:  # pylint: disable=unused-argument
    return [size for size in _VM_SIZES if size.lower().startswith(prefix.lower())]


@Completer
def images(cmd: Any, prefix: str, namespace: Any, **_: Any) -> list[str]:  # pylint: disable=unused-argument
    from azext_batchai.command_line.image import ALIASES

    return [alias for alias in ALIASES if alias.lower().startswith(prefix.lower())]


def _of(kind: str) -> Completer:
    @Completer
    def complete(cmd: Any, prefix: str, namespace: Any, **_: Any) -> list[str]:
        from azext_batchai.command_line import names

        return names.offered(getattr(names, kind), cmd.cli_ctx, prefix, namespace)

    return complete


groups = _of("groups")
nodes = _of("nodes")
files = _of("files")
output_directories = _of("output_directories")
_NOUNS = ("workspace", "cluster", "experiment", "job", "file server")
_NAMES = {noun: _of(f"{noun.replace(' ', '_')}s") for noun in _NOUNS}


def names_of(noun: str) -> Completer:
    """The names of all of that noun."""
    return _NAMES[noun]
