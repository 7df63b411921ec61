"""Loading libraries of custom operations: what is refused, and how."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from custom_library import HEAD, compile_library, needs_compiler

import tegula as tg

pytestmark = needs_compiler

LIBRARY = (
    HEAD
    + """
static int32_t shape(const tegula_call* call, tegula_result* results) {
  return tegula_like(&call->inputs[0], &results[0]);
}
static int32_t kernel(const tegula_call*) { return 0; }
static const tegula_operation operations[] = {%s};
TEGULA_CUSTOM_OPS(%s, operations)
"""
)
GOOD = '{"f", "x: Tensor", nullptr, 1, 0, shape, kernel}'


@pytest.mark.parametrize(
    ("operations", "name", "message"),
    [
        (GOOD.replace("kernel", "nullptr"), '"bad1"', "operation 'f' has no kernel"),
        (GOOD.replace("shape", "nullptr"), '"bad2"', "operation 'f' has no shape rule"),
        (GOOD.replace('"x: Tensor"', "nullptr"), '"bad3"', "operation 'f' has no parameters"),
        (GOOD.replace('"f"', '"f g"'), '"bad4"', "must be a Python identifier, it is 'f g'"),
        (f"{GOOD}, {GOOD}", '"bad5"', "it declares two operations called 'f'"),
        (GOOD, '"2bad"', "the library's name must be a Python identifier, it is '2bad'"),
        (GOOD, "nullptr", "the library's name must be a Python identifier"),
        (GOOD.replace("1, 0", "0, 0"), '"bad6"', "declares 0 outputs; it must have at least 1"),
        (GOOD.replace("1, 0", "1, 8"), '"bad7"', "has unknown flags, 8"),
        (GOOD.replace("x: Tensor", "x: Array"), '"bad8"', "'x' must be a Tensor, int, float or b"),
        (GOOD.replace("x: Tensor", "x: Tensor = 1"), '"bad9"', "'x' cannot have the default 1"),
        (GOOD.replace("x: Tensor", "x: int = 1.5"), '"bad10"', "'x' cannot have the default 1.5"),
        (GOOD.replace("x: Tensor", "x: int = y"), '"bad11"', "the default of 'x' is no literal"),
        (GOOD.replace("x: Tensor", "x: int, *y: int"), '"bad12"', "without"),
        (GOOD.replace("x: Tensor", "x:"), '"bad13"', "which is no Python signature"),
    ],
)
def test_libraries_that_declare_wrongly(
    tmp_path: Path, operations: str, name: str, message: str
) -> None:
    source = LIBRARY % (operations, name)
    unused = ["-Wno-unused-function", "-Wno-unused-parameter"]
    with pytest.raises(ValueError, match=message):
        tg.load_custom_ops(compile_library(tmp_path, "bad", source, *unused))


def test_files_that_are_no_libraries(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no file .*/missing.so"):
        tg.load_custom_ops(tmp_path / "missing.so")
    (tmp_path / "text.so").write_text("not a library")
    with pytest.raises(ValueError, match=r"text\.so: this is no shared library that can be loaded"):
        tg.load_custom_ops(str(tmp_path / "text.so"))
    other = compile_library(tmp_path, "other", "int nothing() { return 0; }\n")
    with pytest.raises(ValueError, match="the library has no function tegula_custom_ops; TEGULA_C"):
        tg.load_custom_ops(other)
    null = 'extern "C" const void* tegula_custom_ops() { return nullptr; }\n'
    with pytest.raises(ValueError, match=r"tegula_custom_ops\(\) returned null"):
        tg.load_custom_ops(compile_library(tmp_path, "null", null))
    with pytest.raises(TypeError):
        tg.load_custom_ops(3)


def test_another_version_of_the_interface(tmp_path: Path) -> None:
    source = LIBRARY % (GOOD, '"future"')
    source = source.replace(
        HEAD, HEAD + "#undef TEGULA_CUSTOM_OP_ABI\n#define TEGULA_CUSTOM_OP_ABI 7\n"
    )
    with pytest.raises(
        ValueError, match=r"built for version 7 .* this Tegula has version 1; compile"
    ):
        tg.load_custom_ops(compile_library(tmp_path, "future", source))


def test_loading_twice(tmp_path: Path) -> None:
    path = compile_library(tmp_path, "twice", LIBRARY % (GOOD, '"twice"'))
    ops = tg.load_custom_ops(path)
    assert tg.load_custom_ops(str(path)) is ops
    other = compile_library(tmp_path, "other", LIBRARY % (GOOD, '"twice"'))
    with pytest.raises(ValueError, match=f"'twice' are loaded already, from {path}; a lib"):
        tg.load_custom_ops(other)
    assert (list(ops), len(ops), ops["f"]) == (["f"], 1, ops.f)
    assert repr(ops) == f"<custom operations 'twice' from {path}: f>"
    assert repr(ops.f).startswith("<custom operation twice.f(x: tegula.Tensor)")
    assert "f" in dir(ops)


def test_the_header_is_c(tmp_path: Path) -> None:
    source = tmp_path / "plain.c"
    source.write_text(
        "#include <tegula/custom_op.h>\n"
        "static int32_t shape(const tegula_call* call, tegula_result* results) {\n"
        "  return tegula_like(&call->inputs[0], &results[0]);\n"
        "}\n"
        "static void piece(void* data, int64_t i) { ((float*)data)[i] = (float)i; }\n"
        "static int32_t kernel(const tegula_call* call) {\n"
        "  return tegula_parallel_for(call, tegula_size(&call->outputs[0]), 1.0, piece,\n"
        "                             call->outputs[0].data);\n"
        "}\n"
        'static const tegula_operation all[] = {{"count", "x: Tensor", 0, 1, 1, shape, kernel}};\n'
        'TEGULA_CUSTOM_OPS("plain_c", all)\n'
    )
    include = f"-I{tg.custom_op_include()}"
    flags = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-shared", "-fPIC", include]
    target = tmp_path / "libplain.so"
    command = ["cc", *flags, str(source), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert tg.load_custom_ops(target).count(tg.ones(4)).tolist() == [0.0, 1.0, 2.0, 3.0]
