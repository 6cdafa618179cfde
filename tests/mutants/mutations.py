"""Small faults put into a module, one at a time: a condition turned, a statement left out, two of them swapped."""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.Mult,
}
_TWINS = {"min": "max", "max": "min", "any": "all", "all": "any"}


@dataclass(frozen=True)
class Mutant:
    """`name` tells the fault and where it is, without line numbers: it stays the same when the module grows."""

    name: str
    line: int
    tree: Callable[[], ast.Module]  # the module with the fault; many of them at once would take much memory


def mutants(source: str) -> Iterator[Mutant]:
    """All faults for a module, in the order of its lines."""
    tree = ast.parse(source)
    seen: Counter[str] = Counter()
    for path, node, where, statement in _walk(tree, (), "", None):
        found = [(f"{_text(node)} => {_text(changed)}", changed) for changed in _replacements(node, statement)]
        for text, replacement in [*found, *_swaps(node)]:
            name = f"{where}: {text}"
            if statement is not None and statement is not node:
                name += f" in {_text(statement)}"
            seen[name] += 1
            if seen[name] > 1:
                name += f" #{seen[name]}"
            yield Mutant(name, getattr(node, "lineno", 0), partial(_changed, tree, path, replacement))


Step = tuple[str, int | None]


def _walk(
    node: ast.AST, path: tuple[Step, ...], where: str, statement: ast.stmt | None
) -> Iterator[tuple[tuple[Step, ...], ast.AST, str, ast.stmt | None]]:
    """Every node that code is run for, with its way from the root, the function and the statement that it is in."""
    if isinstance(node, ast.stmt):
        statement = node
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        where = f"{where}.{node.name}".lstrip(".")
    yield path, node, where, statement
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "bases", "ctx", "type_params", "format_spec"):
            continue
        if isinstance(value, ast.AST):
            yield from _walk(value, (*path, (field, None)), where, statement)
        elif isinstance(value, list):
            for index, entry in enumerate(value):
                if isinstance(entry, ast.AST):
                    yield from _walk(entry, (*path, (field, index)), where, statement)


def _changed(tree: ast.Module, path: tuple[Step, ...], replacement: ast.AST) -> ast.Module:
    changed = copy.deepcopy(tree)
    target: ast.AST = changed
    for field, index in path[:-1]:
        value = getattr(target, field)
        target = value if index is None else value[index]
    field, index = path[-1]
    if index is None:
        setattr(target, field, replacement)
    else:
        getattr(target, field)[index] = replacement
    return ast.fix_missing_locations(changed)


def _replacements(node: ast.AST, statement: ast.stmt | None) -> Iterator[ast.AST]:
    if statement is not None and _is_talk(statement):
        return  # what the log says is no behaviour
    if isinstance(node, ast.Compare):
        for index, operator in enumerate(node.ops):
            changed = copy.deepcopy(node)
            changed.ops[index] = _COMPARISONS[type(operator)]()
            yield changed
    elif isinstance(node, ast.BoolOp):
        changed_bool = copy.deepcopy(node)
        changed_bool.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield changed_bool
        for index in range(len(node.values)):
            rest = [*node.values[:index], *node.values[index + 1 :]]
            yield rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand
    elif isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC and not _is_text(node):
        changed_bin = copy.deepcopy(node)
        changed_bin.op = _ARITHMETIC[type(node.op)]()
        yield changed_bin
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        yield ast.Constant(node.value + 1)
    elif isinstance(node, ast.Name) and node.id in _TWINS:
        yield ast.Name(_TWINS[node.id], ast.Load())
    elif isinstance(node, ast.Call) and any(keyword.arg in ("key", "reverse") for keyword in node.keywords):
        unsorted = copy.deepcopy(node)
        unsorted.keywords = [keyword for keyword in node.keywords if keyword.arg not in ("key", "reverse")]
        yield unsorted
    elif isinstance(node, (ast.With, ast.AsyncWith)) and not any(item.optional_vars for item in node.items):
        yield ast.If(ast.Constant(True), node.body, [])
    elif isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
        yield ast.Return(ast.Constant(None))
    elif isinstance(node, (ast.If, ast.While, ast.IfExp)):
        if not isinstance(node.test, (ast.Compare, ast.Constant)) and not _is_not(node.test):
            changed_test = copy.deepcopy(node)
            changed_test.test = ast.UnaryOp(ast.Not(), node.test)
            yield changed_test
    elif isinstance(node, ast.comprehension):
        for index, condition in enumerate(node.ifs):
            if not isinstance(condition, ast.Compare) and not _is_not(condition):
                changed_if = copy.deepcopy(node)
                changed_if.ifs[index] = ast.UnaryOp(ast.Not(), condition)
                yield changed_if
    if isinstance(node, ast.stmt) and _can_be_left_out(node):
        yield ast.Pass()


def _swaps(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """The node with two statements in each other's place, one of them a call."""
    for field in ("body", "orelse", "finalbody"):
        block = getattr(node, field, ())
        if not isinstance(block, list):
            continue
        for index, (first, second) in enumerate(zip(block, block[1:])):
            pair = (first, second)
            if all(map(_can_change_places, pair)) and any(isinstance(one, ast.Expr) for one in pair):
                changed = copy.copy(node)
                setattr(changed, field, [*block[:index], second, first, *block[index + 2 :]])
                yield f"{_text(second)} before {_text(first)}", changed


def _can_change_places(node: ast.stmt) -> bool:
    if _is_talk(node) or not isinstance(node, (ast.Expr, ast.Assign, ast.AugAssign, ast.Delete)):
        return False
    # `wake` only asks for something that is done when all this is over.
    return _can_be_left_out(node) and ast.unparse(node) != "self.wake()"


def _can_be_left_out(node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr):
        return isinstance(node.value, (ast.Call, ast.Await))
    if isinstance(node, ast.Assign):  # without a local name the function would not work at all
        return all(isinstance(target, (ast.Attribute, ast.Subscript)) for target in node.targets)
    return isinstance(node, (ast.AugAssign, ast.Raise, ast.Continue, ast.Break, ast.Delete)) or _is_empty_return(node)


def _is_talk(statement: ast.stmt) -> bool:
    call = statement.value if isinstance(statement, ast.Expr) else None
    function = call.func if isinstance(call, ast.Call) else None
    return (
        isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == "log"
    ) or isinstance(statement, (ast.Assert, ast.Import, ast.ImportFrom))


def _is_text(node: ast.BinOp) -> bool:
    return any(isinstance(side, ast.JoinedStr) or _is_string(side) for side in (node.left, node.right))


def _is_string(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_empty_return(node: ast.AST) -> bool:
    return isinstance(node, ast.Return) and node.value is None


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_not(node: ast.AST) -> bool:
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)


def _text(node: ast.AST) -> str:
    """The first line of a node's source."""
    if isinstance(node, ast.comprehension):
        return " if ".join(["for", *(ast.unparse(condition) for condition in node.ifs)])
    if isinstance(node, ast.Pass):
        return "nothing"
    return ast.unparse(ast.fix_missing_locations(copy.deepcopy(node))).splitlines()[0]
