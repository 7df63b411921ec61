"""How a statement that reads an unknown value could be written: for the errors of ``tg.jit``.

Python source in, Python source out. Nothing is rewritten behind the user's back: the text is shown.
"""

from __future__ import annotations

import ast
import copy
import linecache
from collections.abc import Iterator, Sequence
from types import CodeType

_Position = tuple[int, int]  # line and column
_LEAVES = (ast.Break, ast.Continue, ast.Yield, ast.YieldFrom, ast.Global, ast.Nonlocal, ast.Await)
_BLOCKS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def rewrite(code: CodeType, instruction: int) -> str:
    """What could stand in place of the statement that an instruction belongs to.

    Args:
        code: the code object of the function.
        instruction: the offset in bytes of the instruction that asked for a value.

    Returns:
        A sentence that names the lines and the new ones, or "" where there is no source or no
        advice.
    """
    try:
        tree = ast.parse("".join(linecache.getlines(code.co_filename)))
        begin, end = _position(code, instruction)
        return _advice(tree, begin, end)
    except (SyntaxError, ValueError, RecursionError):
        return ""


def _position(code: CodeType, instruction: int) -> tuple[_Position, _Position]:
    if hasattr(code, "co_positions"):  # Python 3.11
        line, end, column, end_column = list(code.co_positions())[instruction // 2]
        if line is not None and end is not None and column is not None and end_column is not None:
            return (line, column), (end, end_column)
    for first, last, line in code.co_lines():
        if line is not None and first <= instruction < last:
            return (line, 0), (line, 0)
    raise ValueError("no line")


def _holds(node: ast.AST, begin: _Position, end: _Position) -> bool:
    line, column = getattr(node, "lineno", 0), getattr(node, "col_offset", 0)
    end_line, end_column = getattr(node, "end_lineno", 0), getattr(node, "end_col_offset", 0)
    if begin == end:  # the line alone is known
        return bool(line <= begin[0] <= end_line)
    return (line, column) <= begin and end <= (end_line, end_column)


def _advice(tree: ast.Module, begin: _Position, end: _Position) -> str:
    outer: list[ast.AST] = [tree]  # from the module inwards to what holds the position
    while True:
        inner = [n for n in ast.iter_child_nodes(outer[-1]) if _holds(n, begin, end)]
        if not inner:
            break
        outer.append(inner[-1])
    write = _Writer(tree, outer)
    at = max(i for i, n in enumerate(outer) if isinstance(n, ast.stmt) or i == 0)
    inside = outer[at + 1 :][::-1]
    if begin == end:
        inside = [] if hasattr(outer[at], "body") else list(ast.walk(outer[at]))
    for node in inside:
        lines, new = write.expression(node)
        if new:
            return _sentence(lines, new)
    statement = outer[at]
    if isinstance(statement, ast.stmt):
        lines, new = write.statement(statement, outer[at - 1], begin, end)
        if new:
            return _sentence(lines, new)
    return ""


def _sentence(lines: tuple[int, int], new: str) -> str:
    first, last = lines
    place = f"line {first}" if first == last else f"lines {first} to {last}"
    return f"In place of {place} write, for example:\n\n{new}"


_Found = tuple[tuple[int, int], str]
_NONE: _Found = ((0, 0), "")


class _Writer:
    def __init__(self, tree: ast.Module, outer: Sequence[ast.AST]) -> None:
        self.outer = outer
        self.tg = _name_of_package(tree)

    def function(self, name: str) -> str:
        return f"{self.tg}.{name}"

    # ---- statements --------------------------------------------------------------------------
    def statement(self, node: ast.stmt, above: ast.AST, begin: _Position, end: _Position) -> _Found:
        lines = (node.lineno, node.end_lineno or node.lineno)
        if isinstance(node, ast.Assert):
            message = f", {ast.unparse(node.msg)}" if node.msg else ""
            return lines, _block(
                f"{self.function('debug.check')}({self.condition(node.test)}{message})"
            )
        whole = node is self.outer[-1]  # Python may give the whole statement for its condition
        if isinstance(node, ast.If) and (whole or _holds(node.test, begin, end)):
            return self.branch(node, above)
        if isinstance(node, ast.While) and (whole or _holds(node.test, begin, end)):
            return lines, self.loop(node)
        if isinstance(node, ast.For) and _holds(node.iter, begin, end):
            return lines, self.count(node)
        return _NONE

    def branch(self, node: ast.If, above: ast.AST) -> _Found:
        then, other = node.body, node.orelse
        last = node.end_lineno or node.lineno
        if len(then) == 1 and isinstance(then[0], ast.Raise) and not other:
            return (node.lineno, last), self.refusal(node.test, then[0])
        if _returns(then) and not other and isinstance(above, ast.FunctionDef):
            other = above.body[above.body.index(node) + 1 :]
            last = above.end_lineno or last
        lines = (node.lineno, last)
        if _returns(then) and _returns(other):
            return lines, self.choice(node.test, then, other, None)
        names = self.results(node)
        if not _plain(then) or not _plain(other) or not names:
            return _NONE
        return lines, self.choice(node.test, then, other, names)

    def results(self, node: ast.If) -> list[str]:
        """Names that the branches change and that matter to what comes after them."""
        function = next((n for n in reversed(self.outer) if isinstance(n, ast.FunctionDef)), None)
        scope: ast.AST = function or self.outer[0]
        inside = {id(n) for s in [*node.body, *node.orelse] for n in ast.walk(s)}
        outside = [n for n in ast.walk(scope) if id(n) not in inside]
        read = {n.id for n in outside if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
        known = {n.arg for n in outside if isinstance(n, ast.arg)}
        known |= {_changes(n) for n in outside if getattr(n, "lineno", 0) < node.lineno}
        known |= _fresh(node.body) & _fresh(node.orelse)
        changed = dict.fromkeys(_stored(node.body) + _stored(node.orelse))
        return [n for n in changed if n in read & known]

    def refusal(self, test: ast.expr, raised: ast.Raise) -> str:
        wrong = ast.unparse(raised.exc) if raised.exc else ""
        call = raised.exc
        if isinstance(call, ast.Call) and call.args and isinstance(call.args[0], ast.Constant):
            wrong = ast.unparse(call.args[0])
        holds = f"{self.function('logical_not')}({self.condition(test)})"
        message = wrong if wrong[:1] in "'\"" else repr(wrong)
        return _block(f"{self.function('debug.check')}({holds}, {message})")

    def choice(
        self,
        test: ast.expr,
        then: Sequence[ast.stmt],
        other: Sequence[ast.stmt],
        names: list[str] | None,
    ) -> str:
        """An ``if`` that assigns ``names``, or returns where they are None."""
        both = (then, other)
        changed = dict.fromkeys(_stored(then) + _stored(other))
        taken = [
            n
            for n in changed
            if (n in (names or ()) and any(n not in _fresh(b) for b in both))
            or any(n in _read_first(b) for b in both)
        ]
        target = "return " if names is None else f"{', '.join(names)} = "
        cond = f"{target}{self.function('cond')}({self.condition(test)}"
        short = [_value(b, names) for b in both]
        if all(short):
            return _block(f"{cond}, {', '.join(f'lambda: {s}' for s in short)})")
        lines = []
        for name, block in zip(("if_true", "if_false"), both, strict=True):
            body = list(block) if names is None else [*block, _give(names)]
            lines += [f"def {name}({', '.join(taken)}):", *_indented(body), ""]
        operands = "".join(f", {n}" for n in taken)
        return _block(*lines, f"{cond}, if_true, if_false{operands})")

    def loop(self, node: ast.While) -> str:
        names = [
            n
            for n in dict.fromkeys(_stored(node.body))
            if n in _read_first(node.body) or n in _loaded(node.test)
        ]
        if not _plain(node.body) or node.orelse or not names:
            return ""
        carry = ", ".join(names)
        target = f"{carry} = {self.function('while_loop')}"
        value = _value(node.body, names)
        test = self.condition(node.test)
        if value:
            return _block(f"{target}(lambda {carry}: {test}, lambda {carry}: {value}, {carry})")
        unpacked = f"{carry} = carry"
        return _block(
            "def goes_on(carry):",
            f"    {unpacked}",
            f"    return {test}",
            "",
            "def once(carry):",
            f"    {unpacked}",
            *_indented([*node.body, _give(names)]),
            "",
            f"{target}(goes_on, once, {'(' + carry + ')' if len(names) > 1 else carry})",
        )

    def count(self, node: ast.For) -> str:
        call = node.iter
        names = [n for n in dict.fromkeys(_stored(node.body)) if n in _read_first(node.body)]
        if (
            not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name))
            or call.func.id != "range"
            or len(call.args) != 1
            or not isinstance(node.target, ast.Name)
            or node.target.id in _stored(node.body)
            or not _plain(node.body)
            or node.orelse
            or not names
        ):
            return ""
        index, carry = node.target.id, ", ".join(names)
        return _block(
            "def once(carry):",
            f"    {index}, {carry} = carry",
            *_indented(node.body),
            f"    return {index} + 1, {carry}",
            "",
            f"count = {ast.unparse(_without_conversion(call.args[0]))}",
            f"_, {carry} = {self.function('while_loop')}("
            f"lambda carry: carry[0] < count, once, (0, {carry}))",
        )

    # ---- expressions -------------------------------------------------------------------------
    def expression(self, node: ast.AST) -> _Found:
        if not isinstance(node, ast.expr):
            return _NONE
        new = self.other_way(node)
        statement = next((n for n in reversed(self.outer) if isinstance(n, ast.stmt)), None)
        if new is None or statement is None or hasattr(statement, "body"):
            return _NONE
        changed = _Replace(node, new).visit(_Copy().of(statement, node))
        return (statement.lineno, statement.end_lineno or 0), _block(ast.unparse(changed))

    def other_way(self, node: ast.expr) -> ast.expr | None:
        if isinstance(node, ast.IfExp):
            text = f"{self.function('cond')}({self.condition(node.test)}, "
            text += f"lambda: {ast.unparse(node.body)}, lambda: {ast.unparse(node.orelse)})"
            return ast.parse(text, mode="eval").body
        if isinstance(node, ast.BoolOp) or (
            isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
        ):
            return ast.parse(self.condition(node), mode="eval").body
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id == "print" and node.args:
                text = " ".join("{}" for _ in node.args)
                values = ", ".join(ast.unparse(a) for a in node.args)
                return ast.parse(
                    f"{self.function('debug.print')}({text!r}, {values})", mode="eval"
                ).body
            kept = _without_conversion(node)
            return kept if kept is not node else None
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Compare):
            mask, x = ast.unparse(node.slice), ast.unparse(node.value)
            return ast.parse(f"{self.function('where')}({mask}, {x}, 0)", mode="eval").body
        return None

    def condition(self, test: ast.expr) -> str:
        """A condition without ``and``, ``or``, ``not``, which ask for values: a 0-d bool."""
        if isinstance(test, ast.BoolOp):
            sign = " & " if isinstance(test.op, ast.And) else " | "
            return sign.join(f"({self.condition(v)})" for v in test.values)
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            return f"{self.function('logical_not')}({self.condition(test.operand)})"
        if isinstance(test, ast.Compare):
            sides = [test.left, *test.comparators]
            parts = [
                ast.unparse(ast.Compare(a, [op], [b]))
                for a, op, b in zip(sides, test.ops, sides[1:], strict=False)
            ]
            return parts[0] if len(parts) == 1 else " & ".join(f"({p})" for p in parts)
        text = ast.unparse(test)
        if isinstance(test, ast.Call) and isinstance(test.func, ast.Attribute):
            name = test.func.attr
            if name in ("any", "all") or name.startswith(("is", "logical_")):
                return text
            return f"{text} != 0"
        return text


# ---- names ------------------------------------------------------------------------------------
def _name_of_package(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name == "tegula":
                    return alias.asname or "tegula"
    return "tg"


def _own(nodes: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """Nodes in the order they are evaluated, without what functions and comprehensions hide."""
    for node in nodes:
        if isinstance(node, _BLOCKS):
            continue
        children = list(ast.iter_child_nodes(node))
        if isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):  # the value comes first
            children.sort(key=lambda c: c is not node.value)
        yield from _own(children)
        yield node


def _changes(node: ast.AST) -> str:
    """The name that a node gives a value: of x for ``x = ...`` and for ``x[i] = ...``."""
    while isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
        inner = node.value
        if isinstance(inner, ast.Name):
            return inner.id
        node = inner
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return node.id
    return ""


def _stored(block: Sequence[ast.AST]) -> list[str]:
    return [name for name in map(_changes, _own(block)) if name]


def _loaded(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def _fresh(block: Sequence[ast.stmt]) -> set[str]:
    """Names that a block gives a value for certain."""
    simple = [s for s in block if isinstance(s, (ast.Assign, ast.AnnAssign, ast.AugAssign))]
    return set(_stored(simple))


def _read_first(block: Sequence[ast.stmt]) -> set[str]:
    """Names that a block changes, and may read or change in part before it has set them."""
    changed = set(_stored(block))
    found: set[str] = set()
    known: set[str] = set()
    for statement in block:
        if isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Name):
            found |= {statement.target.id} - known
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                found |= {node.id} - known
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                for node in ast.walk(target):
                    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                        known.add(node.id)
    return found & changed


# ---- blocks -----------------------------------------------------------------------------------
def _plain(block: Sequence[ast.stmt]) -> bool:
    """Whether a block only gives names values: nothing leaves it, no attribute changes."""
    for node in _own(block):
        if isinstance(node, (*_LEAVES, ast.Return, ast.Raise, ast.Delete)):
            return False
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            return False
    return True


def _returns(block: Sequence[ast.stmt]) -> bool:
    """Whether a block ends in a return of a value, and nothing else leaves it."""
    if not block or not isinstance(block[-1], ast.Return) or block[-1].value is None:
        return False
    return _plain(block[:-1])


def _value(block: Sequence[ast.stmt], names: list[str] | None) -> str:
    """What a block gives, as an expression; "" where it takes statements."""
    if names is None:
        only = block[0]
        return ast.unparse(only.value) if isinstance(only, ast.Return) and only.value else ""
    if len(names) != 1 or len(block) > 1:
        return ""
    if not block:
        return names[0]
    only = block[0]
    if isinstance(only, ast.Assign) and len(only.targets) == 1:
        target = only.targets[0]
        return ast.unparse(only.value) if isinstance(target, ast.Name) else ""
    if isinstance(only, ast.AugAssign) and isinstance(only.target, ast.Name):
        left = ast.Name(only.target.id, ast.Load())
        return ast.unparse(ast.BinOp(left, only.op, only.value))
    return ""


def _give(names: Sequence[str]) -> ast.stmt:
    return ast.parse(f"return {', '.join(names)}").body[0]


def _without_conversion(node: ast.expr) -> ast.expr:
    """X of ``int(x)``, ``float(x)`` and ``x.item()``."""
    if not isinstance(node, ast.Call) or node.keywords:
        return node
    if isinstance(node.func, ast.Name) and node.func.id in ("int", "float") and len(node.args) == 1:
        return node.args[0]
    if isinstance(node.func, ast.Attribute) and node.func.attr == "item" and not node.args:
        return node.func.value
    return node


class _Copy:
    """Copies a statement but keeps one expression in it the same object."""

    def of(self, statement: ast.stmt, kept: ast.expr) -> ast.stmt:
        return copy.deepcopy(statement, {id(kept): kept})


class _Replace(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        result: ast.AST = self.new if node is self.old else self.generic_visit(node)
        return result


def _indented(block: Sequence[ast.stmt]) -> list[str]:
    return ["    " + line for s in block for line in ast.unparse(s).split("\n")]


def _block(*lines: str) -> str:
    return "\n".join("    " + line if line else "" for line in lines)
