# Every target sets up what it needs; `make help` lists them.
PYTHON ?= python3
JOBS   ?= $(shell nproc 2>/dev/null || echo 2)
BUILD  ?= build/release
BIN    := .venv/bin
export PYTHON JOBS BUILD

.DEFAULT_GOAL := help
.PHONY: help setup build demo test test-all lint format bench bench-check docs clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup:  ## .venv with Tegula importable: system packages, Python packages, the extension
	@bash scripts/setup.sh

build:  ## only rebuild the extension (after `make setup`)
	@bash scripts/build.sh

demo: setup  ## train a small network on Fashion-MNIST
	@$(BIN)/python examples/fashion_mnist.py $(ARGS)

test: setup  ## lint, C++ tests, Python tests, the code in the docs (under 20 minutes)
	@bash scripts/test.sh

test-all: setup  ## test, and sanitizers, tiny tiles, each instruction set, long random tests
	@bash scripts/test_all.sh

lint: setup  ## ruff, mypy, clang-format: report only
	@bash scripts/lint.sh

format: setup  ## ruff and clang-format: rewrite the files
	@bash scripts/lint.sh --fix

bench: setup  ## measure beside PyTorch and JAX, all or CASE=name, and write benchmarks/RESULTS.md
	@bash scripts/bench.sh $(CASE) $(ARGS)

bench-check: setup  ## fail where kernels became slower than in a stored run of this machine
	@bash scripts/bench.sh --check --no-peers $(or $(CASE),gemm conv fused) $(ARGS)

docs: setup  ## generate the reference pages and run the code of every page
	@bash scripts/docs.sh

clean:  ## remove what was built; .venv and runs/ stay
	rm -rf build dist tegula/_core*.so tegula/_core.pyi .mypy_cache .ruff_cache .pytest_cache
