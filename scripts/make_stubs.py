"""Writes the type stub of the built extension: ``make_stubs.py EXTENSION STUB``."""

import importlib.util
import sys
from pathlib import Path

from nanobind.stubgen import StubGen


def main() -> None:
    extension, stub = Path(sys.argv[1]), Path(sys.argv[2])
    # Loaded by its path, as the build does not need the tegula package around it.
    spec = importlib.util.spec_from_file_location("_core", extension)
    if spec is None or spec.loader is None:
        sys.exit(f"make_stubs.py: {extension} is no extension module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    generator = StubGen(module, include_private=True)
    generator.put(module)
    text = generator.get()
    if not stub.exists() or stub.read_text() != text:
        stub.write_text(text)
    else:
        stub.touch()


if __name__ == "__main__":
    main()
