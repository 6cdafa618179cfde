"""What az itself takes on a command line: its commands, and the options of one as its parser has them."""

import argparse
from typing import Any

_OF_EVERY_COMMAND = ("help", "_output_format", "_jmespath_query")


def commands(group: str) -> dict[str, Any]:
    """Name -> command of azure-cli, for every command of the group."""
    from azure.cli.core import get_default_cli

    loader = _invocation(get_default_cli()).commands_loader
    table = loader.load_command_table(group.split()) or loader.command_table
    return {name: command for name, command in table.items() if name == group or name.startswith(f"{group} ")}


def arguments(command: str) -> list[dict[str, Any]]:
    """The options of a command: options, required, default, choices, group, flag, nargs."""
    parser = _parser(command)
    groups = {id(action): group.title for group in parser._action_groups for action in group._group_actions}
    return [
        _described(action, groups.get(id(action)))
        for action in parser._actions
        if action.option_strings
        and action.dest not in _OF_EVERY_COMMAND
        and groups.get(id(action)) != "Global Arguments"
    ]


def _described(action: argparse.Action, group: str | None) -> dict[str, Any]:
    plain = action.default is None or isinstance(action.default, (bool, int, float, str))
    default = None if action.default == argparse.SUPPRESS else action.default if plain else str(action.default)
    return {
        "options": list(action.option_strings),
        "required": action.required,
        "default": default,
        "choices": [str(choice) for choice in action.choices] if action.choices else None,
        "group": group,
        "flag": action.nargs == 0,
        "nargs": action.nargs or None,
    }


class _Stop(Exception):
    pass


def _parser(command: str) -> argparse.ArgumentParser:
    """The command's parser, taken from an invocation that ends just before it parses."""
    from azure.cli.core import get_default_cli
    from knack.events import EVENT_INVOKER_PRE_PARSE_ARGS

    def stop(*_: Any, **__: Any) -> None:
        raise _Stop

    cli = get_default_cli()
    cli.register_event(EVENT_INVOKER_PRE_PARSE_ARGS, stop)
    invocation = _invocation(cli)
    try:
        invocation.execute(command.split())
    except _Stop:
        parser: argparse.ArgumentParser = invocation.parser.subparser_map[command]
        return parser
    raise AssertionError(f"az has no parser for {command}")


def _invocation(cli: Any) -> Any:
    cli.invocation = cli.invocation_cls(
        cli_ctx=cli, parser_cls=cli.parser_cls, commands_loader_cls=cli.commands_loader_cls, help_cls=cli.help_cls
    )
    return cli.invocation
