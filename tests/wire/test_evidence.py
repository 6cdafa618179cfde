"""The table of operations and their evidence in docs/ is what the tests say, and has every operation."""

import re
import runpy
import subprocess
import sys

from azext_batchai.service import app
from harness.sandbox import CHECKOUT
from wire import openapi

SCRIPT = CHECKOUT / "docs" / "operations.py"
SCOPES = {
    "SUB": "/subscriptions/{}/providers/Microsoft.BatchAI",
    "RG": "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.BatchAI",
}


def requests() -> dict[str, tuple[str, str]]:
    """Operation id -> method and path with {} for each name, as the table has them."""
    found = {}
    for operation, request in runpy.run_path(str(SCRIPT))["OPERATIONS"].items():
        method, path = request.split()
        scope, slash, rest = path.partition("/")
        rest = re.sub(r"\b[A-Z]\b", "{}", rest)
        found[operation] = (method, f"{SCOPES.get(scope, '/providers/Microsoft.BatchAI')}{slash}{rest}")
    return found


def test_the_table_is_up_to_date() -> None:
    command = [sys.executable, str(SCRIPT), "--check"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_table_has_every_route_of_the_provider() -> None:
    routes = {(method, f"/{path}") for method, path in app.ROUTES if "microsoft.batchai" in path}
    table = {(method, path.lower()) for method, path in requests().values()}
    assert table <= routes
    # What is no operation of its own: the polls, and the next page of output files, which is a GET.
    others = sorted(f"{method} {path.rpartition('batchai/')[2]}" for method, path in routes - table)
    assert others == [
        "GET locations/{}/operationresults/{}",
        "GET locations/{}/operationstatuses/{}",
        "GET workspaces/{}/experiments/{}/jobs/{}/listoutputfiles",
    ]


def test_the_table_has_every_operation_of_the_file() -> None:
    described = {
        operation["operationId"]: (method, re.sub(r"{\w+}", "{}", path))
        for method, path, operation in openapi.operations(openapi.load())
    }
    assert requests() == described
