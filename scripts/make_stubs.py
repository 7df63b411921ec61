"""Writes the type stub of the built extension: ``make_stubs.py EXTENSION STUB``.

Signatures come from the module itself: operations from their declarations, functions from
nanobind. Only the raw types are spelled out, in scripts/core_head.pyi.in, with
which the stub begins.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any


def load(extension: Path) -> ModuleType:
    # Loaded by its path, as the build does not need the tegula package around it.
    spec = importlib.util.spec_from_file_location("_core", extension)
    if spec is None or spec.loader is None:
        sys.exit(f"make_stubs.py: {extension} is no extension module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def block(signature: str, doc: str | None, indent: str = "") -> str:
    """A stubbed function with its docstring."""
    if not doc:
        return f"{indent}{signature}: ...\n"
    inner = indent + "    "
    lines = doc.split("\n")
    text = f'{inner}"""{lines[0]}'
    for line in lines[1:]:
        text += "\n" + (inner + line if line else "")
    end = '"""\n' if len(lines) == 1 else f'\n{inner}"""\n'
    return f"{indent}{signature}:\n{text}{end}"


def builtin_bool(signature: str) -> str:
    """The module has a dtype called bool, which is not the one meant in signatures."""
    return signature.replace("bool", "_bool")


def operation(op: Any, method: bool = False) -> str:
    signature = op.stub
    if method:
        first = op.parameters[0]
        _, _, rest = signature.removeprefix("(" + first).partition(", ")
        alone = len(op.parameters) == 1
        signature = "(self) -> " + signature.split(" -> ")[1] if alone else "(self, " + rest
        if op.gathers:
            name = op.parameters[-1]
            signature = f"(self, *{name}: int | Sequence[int]) -> " + signature.split(" -> ")[1]
    return block(f"def {op.attribute}{builtin_bool(signature)}", op.doc, "    " if method else "")


def named_tuple(cls: Any) -> str:
    fields = "".join(f"    {name}: Tensor\n" for name in cls._fields)
    return f'class {cls.__name__}(NamedTuple):\n    """{cls.__doc__}"""\n\n{fields}'


def nanobind_function(function: Any, indent: str = "") -> str:
    text = ""
    for signature, doc, _ in function.__nb_signature__:
        text += block(builtin_bool(signature), doc, indent)
    return text


def nanobind_class(cls: Any) -> str:
    text = f'class {cls.__name__}:\n    """{cls.__doc__}"""\n\n'
    for name, value in vars(cls).items():
        if hasattr(value, "__nb_signature__"):
            text += nanobind_function(value, "    ")
        elif isinstance(value, property):
            getter = nanobind_function(value.fget, "    ").replace("def (", f"def {name}(", 1)
            text += "    @property\n" + getter
    return text


def stub(module: ModuleType, head: str) -> str:
    ops = {op.attribute: op for op in module.ops()}
    methods = "".join(operation(op, method=True) for op in ops.values() if op.method)
    names = ", ".join(f'"{name}"' for name in module.__all__)
    parts = [f"{head.rstrip()}\n{methods}", f"__version__: str\n__all__ = [{names}]\n"]
    for name, value in vars(module).items():
        if name in ops:
            parts.append(operation(ops[name]))
        elif type(value).__name__ == "DType":
            parts.append(f"{name}: DType\n")
        elif isinstance(value, type) and hasattr(value, "_fields"):
            parts.append(named_tuple(value))
        elif isinstance(value, type) and issubclass(value, Exception):
            bases = ", ".join(base.__name__ for base in value.__bases__)
            parts.append(block(f"class {name}({bases})", value.__doc__))
        elif isinstance(value, type) and type(value).__name__.startswith("nb_type"):
            parts.append(nanobind_class(value))
        elif hasattr(value, "__nb_signature__"):
            parts.append(nanobind_function(value))
    return "\n".join(parts)


def main() -> None:
    extension, target = Path(sys.argv[1]), Path(sys.argv[2])
    text = stub(load(extension), (Path(__file__).parent / "core_head.pyi.in").read_text())
    if not target.exists() or target.read_text() != text:
        target.write_text(text)
    else:
        target.touch()


if __name__ == "__main__":
    main()
