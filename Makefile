# make up      sets up and runs `provision up lab`
# make test    sets up and runs the tests, but for the long rows
# make test-all   all tests, long rows too: every kill, every crash, every fault of the lab
# make check   format, lint, types (tests too), imports, PowerShell, tests
# make mutate  breaks the rules of tests/mutants.toml one by one; prints those that no fast test notices
# make bench   measures and holds the figures against their limits
# make fuzz    gives the fuzzers a hundred times their inputs (FUZZ=1000 for more)
# make docs    writes what the docs take from the program: reference, screens

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# The PowerShell checker of the development machines; skipped, and said so, where it is missing.
PSLINT ?= $(firstword $(wildcard ../shared/bin/pslint))
FUZZ   ?= 100
# Tests wait more than they compute, hence two workers per processor. They are handed out one by one, since those of one folder are slow.
JOBS   ?= $(shell $(PYTHON) -c 'import os; print(min(16, 2 * (os.cpu_count() or 1)))')
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --maxschedchunk 1

.DEFAULT_GOAL := help
.PHONY: help setup up test test-all check format mutate bench fuzz docs proto clean

help:                 ## these lines
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"provision needs Python 3.11 or newer, {sys.executable} is {v[0]}.{v[1]}. Try: make PYTHON=python3.13 up")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

# The package is compiled here: pip compiles none of an editable install, and some environments let no program write what it compiled.
setup: $(VENV)/.ready
	@$(BIN)/python -m compileall -q provisioner

up: setup
	@$(BIN)/provision up lab

test: setup
	@$(PYTEST) -m "not long"

test-all: setup
	@$(PYTEST)

check: setup
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
ifneq ($(PSLINT),)
	@$(PSLINT) powershell
else
	@echo "pslint: not on this machine, PowerShell text is checked by the engine's tests alone"
endif
	@$(PYTEST)

format: setup
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

mutate: setup
	@$(BIN)/python -m tests.mutate

bench: setup
	@$(BIN)/python -m tests.bench

fuzz: setup
	@PROVISION_FUZZ=$(FUZZ) $(PYTEST) --timeout 0 tests/fuzz

docs: setup          # `python -m tests.docs record` makes the run behind the screens anew
	@$(BIN)/python -m tests.docs

proto: setup         # makes provisioner/talos/api/gen anew
	@$(BIN)/python -m grpc_tools.protoc -I . --python_out=. --pyi_out=. --grpclib_python_out=. \
	    provisioner/talos/api/gen/common.proto provisioner/talos/api/gen/cosi.proto provisioner/talos/api/gen/machine.proto

clean:
	@rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache
