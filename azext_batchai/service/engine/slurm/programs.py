"""The programs that nodes run: copied into the state folder, where nodes find them, and made plain for old Pythons."""

from __future__ import annotations

import ast
import hashlib
import os
import shutil
from pathlib import Path

OLDEST_PYTHON = (3, 6)
_HERE = Path(__file__).parent
SOURCES = (
    *(_HERE / f"{name}.py" for name in ("agent", "relay", "lines", "sealed", "session", "old_python")),
    *(_HERE.parent / "local" / f"{name}.py" for name in ("runner", "runner_events", "frames", "pipe_relay")),
)


def install(root: Path) -> Path:
    """The folder below `root` that has them; of each release its own (P8). Raises OSError."""
    texts = {source.name: plain(source.read_text(encoding="utf-8")) for source in SOURCES}
    folder = root / f"agent-{hashlib.sha256(repr(texts).encode()).hexdigest()[:12]}"
    if not folder.is_dir():
        temporary = folder.with_name(f"{folder.name}.{os.getpid()}")
        temporary.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (temporary / name).write_text(text, encoding="utf-8")
        try:
            temporary.rename(folder)
        except OSError:  # another engine of this service has been faster
            shutil.rmtree(temporary)
    return folder


def plain(source: str) -> str:
    """The same program without what Python 3.6 cannot read: annotations. Raises SyntaxError for what else there is."""
    text = ast.unparse(ast.fix_missing_locations(_WithoutAnnotations().visit(ast.parse(source)))) + "\n"
    ast.parse(text, feature_version=OLDEST_PYTHON)
    return text


class _WithoutAnnotations(ast.NodeTransformer):
    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        return None if node.module == "__future__" else node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        return ast.copy_location(ast.Assign(targets=[node.target], value=node.value), node)
