"""Passwords that need not stand on the command line, where the shell's history and other users see them."""

from __future__ import annotations

import os

ASK = "-"


def chosen(given: str | None, variable: str, question: str, confirm: bool = False) -> str | None:
    """The password of --password, asked for where that is `-`; else that of the environment variable.

    Raises NoTTYError where there is nobody to ask.
    """
    if given != ASK:
        return given or os.environ.get(variable) or None
    from knack.prompting import NoTTYException, prompt_pass

    try:
        return str(prompt_pass(question, confirm))
    except NoTTYException as error:
        from azure.cli.core.azclierror import NoTTYError

        raise NoTTYError(
            "--password - asks for the password, and there is no terminal.",
            recommendation=f"Set {variable} instead.",
        ) from error
