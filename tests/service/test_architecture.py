"""Who may know whom: the rooms of the service stand on each other, never in a circle, and no arrow runs back up."""

import ast
from pathlib import Path

from harness.sandbox import CHECKOUT

# What both programs may know.
SHARED = ("azext_batchai.service", "azext_batchai.formats", "azext_batchai._version")
ROOT = CHECKOUT / "azext_batchai" / "service"
# From the ground up; a room may know those before it, and its own.
FLOORS = (
    (
        "clock",
        "settings",
        "background",
        "open_files",
        "store_checks",
        "store_events",
        "store_rows",
        "store_sync",
        "store_upgrades",
        "ports",
        "hosts",
        "peer",
    ),
    ("store",),
    ("secrets_vault", "tokens", "arm", "instance"),
    ("storage",),
    ("state",),
    ("engine.base", "engine.host", "engine.task", "engine.job_variables", "engine.job_run"),
    ("toolkits",),
    ("model",),
    ("engine.local",),
    ("engine.slurm",),
    ("engine.engines",),
    ("control",),
    ("service",),
    ("resources",),
    ("azure",),
    ("app", "connections"),
    ("front",),
    ("ui",),
    ("server",),
    ("__main__",),
)


def modules() -> dict[str, Path]:
    found = {}
    for path in ROOT.rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    found.pop("__init__")
    return found


def imports(name: str, path: Path, known: dict[str, Path]) -> set[str]:
    prefix = "azext_batchai.service."
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("azext_batchai.service"):
            base = node.module.removeprefix(prefix) if node.module.startswith(prefix) else ""
            for alias in node.names:
                inner = f"{base}.{alias.name}".lstrip(".")
                found.add(inner if inner in known else base)
        elif isinstance(node, ast.Import):
            found |= {alias.name.removeprefix(prefix) for alias in node.names if alias.name.startswith(prefix)}
    return found - {name, ""}


def floor(module: str) -> int:
    for level, rooms in enumerate(FLOORS):
        if any(module == room or module.startswith(f"{room}.") for room in rooms):
            return level
    raise AssertionError(f"{module} is in no room: put it into FLOORS and docs/architecture.md")


def test_no_arrow_runs_up() -> None:
    known = modules()
    packages = {"engine"}
    up = [
        f"{name} -> {other}"
        for name, path in known.items()
        if name not in packages
        for other in imports(name, path, known)
        if other not in packages and floor(other) > floor(name)
    ]
    assert up == []


def test_no_circle() -> None:
    known = modules()
    graph = {name: imports(name, path, known) & known.keys() for name, path in known.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail[trail.index(name) :], name))
        if name not in done:
            for other in graph[name]:
                visit(other, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_the_extension_and_the_service_do_not_know_each_other() -> None:
    package = ROOT.parent
    for path in package.rglob("*.py"):
        inside = path.is_relative_to(ROOT)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in names:
                if inside and name.startswith("azext_batchai"):
                    assert name.startswith(SHARED), (path, name)
                if path.is_relative_to(package / "formats"):
                    assert name.startswith("azext_batchai.formats") or "azext_batchai" not in name, (path, name)
                if not inside:
                    assert not name.startswith("azext_batchai.service"), (path, name)
