"""How the Azure CLI finds the commands of this extension, and takes them in place of its own `batchai` group."""

from __future__ import annotations

import logging
from typing import Any

from azure.cli.core import AzCommandsLoader
from azure.cli.core.commands import ExtensionCommandSource
from azure.cli.core.commands.events import EVENT_INVOKER_PRE_LOAD_ARGUMENTS
from knack.events import EVENT_INVOKER_POST_CMD_TBL_CREATE

# The CLI reads the help from this import.
from azext_batchai._help import helps  # noqa: F401  # pylint: disable=unused-import


class BatchAICommandsLoader(AzCommandsLoader):
    # The command index of azure-cli notes this name and takes it for that of the extension's package.
    __module__ = "azext_batchai"

    def __init__(self, cli_ctx: Any = None) -> None:
        super().__init__(cli_ctx=cli_ctx)
        self.cli_ctx.register_event(EVENT_INVOKER_PRE_LOAD_ARGUMENTS, self._keep_builtin_arguments_out)
        self.cli_ctx.register_event(EVENT_INVOKER_POST_CMD_TBL_CREATE, _be_first_class)

    def load_command_table(self, args: Any) -> dict[str, Any]:
        from azext_batchai.command_line.spellings import modernize
        from azext_batchai.commands import load_command_table

        if logging.getLogger("cli").isEnabledFor(logging.DEBUG):
            from azext_batchai.transport import redaction

            redaction.install()
        # The list is the one that is parsed later. A command that is in no table would cost a search of seconds.
        if args and args[:3] == ["batchai", "local", "run"]:
            from azext_batchai.local import program

            program.take(self.cli_ctx, args)
        modernize(args or [])
        load_command_table(self, args)
        return self.command_table

    def load_arguments(self, command: str) -> None:
        from azext_batchai._params import load_arguments

        load_arguments(self, command)

    def _keep_builtin_arguments_out(self, _: Any, commands_loader: Any, **__: Any) -> None:
        """Load the options of our commands from here alone.

        azure-cli asks the built-in module for options of the same command as well. It would import an SSH client for
        that, and mix in options of its own.
        """
        for name, command in commands_loader.command_table.items():
            # There are two loaders of ours where azure-cli loads all once more, as for a command it does not know.
            if command.loader is self:
                commands_loader.cmd_to_loader_map[name] = [self]


def _be_first_class(_: Any, commands_loader: Any, **__: Any) -> None:
    """Leave out the warning, on every command of ours, that an extension has altered it: we replace the group."""
    for name, command in commands_loader.command_table.items():
        source = command.command_source
        if name.startswith("batchai ") and isinstance(source, ExtensionCommandSource):
            source.overrides_command = False
