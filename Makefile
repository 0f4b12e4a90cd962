# One entry point for people and CI. Every target sets up what it needs.
.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
LOWEST := $(VENV)/lowest
READY := $(VENV)/.ready
TEMPLATE := saga_cli/template/errand
TRIP := examples/trip
PACKAGES := sagakit services saga_monitor saga_lab saga_cli schemas shop benchmarks
CORES := $(shell nproc)
# Tests wait some of the time, those of the real stack most of it: one worker more than there are cores.
WORKERS := $(shell expr $(CORES) + 1)
UV_LOCK := $(VENV)/uv.lock
FAST_TESTS := tests/unit tests/properties tests/bad_input tests/architecture tests/docs/test_readme_participant.py tests/docs/test_testing_page.py
# An example's tests run in a process of their own, as those of an application elsewhere do.
TRIP_FAST_TESTS := $(filter-out %/test_live.py %/test_simulation.py,$(wildcard $(TRIP)/tests/test_*.py))

.PHONY: help setup browser demo test check lowest bench bench-scaling mutants up down lock clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## make .venv with the locked dependencies (again only when the lock changed)

# Some version managers leave a python3.x command that only prints an error, so each candidate
# is asked for its version before it is believed.
$(READY): requirements.lock
	@found=; for python in python3 python3.13 python3.12 python3.11; do \
	  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "setup: no Python 3.11 or newer found (tried python3, python3.13, python3.12, python3.11)." >&2; \
	  echo "       Install one (for example: apt install python3.11 python3.11-venv) and run make again." >&2; exit 1; \
	fi; \
	if ! $(BIN)/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	  echo "setup: $(VENV) with $$($$found --version)"; \
	  $$found -m venv --clear $(VENV) || { \
	    echo "setup: could not make a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }; \
	fi
	@echo "setup: installing the locked dependencies (about 20 s the first time)"
	@# uv is ten times faster; pip serves where only pip knows the way to a package index.
	@awk '/^uv==/ {on = 1} on {print} on && !/\\$$/ {exit}' requirements.lock > $(UV_LOCK)
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r $(UV_LOCK)
	@$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r requirements.lock \
	  || $(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: setup  ## start everything, run a few hundred real orders, check every invariant
	@$(BIN)/saga demo

browser:  ## find Chromium, or install Debian's, for the tests of pages
	@for name in chromium chromium-browser google-chrome; do \
	  if command -v $$name >/dev/null; then exit 0; fi; \
	done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "browser: installing chromium (about a minute the first time)"; \
	  export DEBIAN_FRONTEND=noninteractive; \
	  if apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium >/dev/null; then exit 0; fi; \
	fi; \
	echo "browser: no Chromium found, which the tests of pages need." >&2; \
	echo "         Install one (for example: apt install chromium) and run make again." >&2; exit 1

test: setup browser  ## every test there is, on the real stack
	@$(BIN)/pytest -n $(WORKERS)

check: setup  ## format, lint, types, imports, generated files, fast tests
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy $(wildcard $(PACKAGES) tests)
	cd $(TEMPLATE) && MYPYPATH=. $(CURDIR)/$(BIN)/mypy --config-file $(CURDIR)/pyproject.toml --cache-dir $(CURDIR)/.mypy_cache .
	cd $(TRIP) && MYPYPATH=.:tests $(CURDIR)/$(BIN)/mypy --config-file $(CURDIR)/pyproject.toml --cache-dir $(CURDIR)/.mypy_cache trips travel travel_lab tests
	$(BIN)/lint-imports
	$(BIN)/python -m sagakit.contract.generate sagakit.contract --check
	$(BIN)/python -m sagakit.contract.compat sagakit.contract
	$(BIN)/python -m sagakit.contract.generate schemas --check
	$(BIN)/python -m sagakit.contract.compat schemas
	PYTHONPATH=$(TRIP) $(BIN)/python -m sagakit.contract.generate trips --check
	$(BIN)/python -m sagakit.contract.docs schemas --check
	$(BIN)/python -m tests.bad_input.document --check
	$(BIN)/python -m saga_monitor.saga.event_matrix_page schemas --check
	$(BIN)/python -m sagakit.contract.rights schemas --check
	$(BIN)/pytest -q -n $(WORKERS) $(FAST_TESTS)
	$(BIN)/pytest -q $(TRIP_FAST_TESTS)

lowest: setup  ## the fast tests on the lowest versions that pyproject.toml allows, about 3 min
	$(BIN)/uv venv -q --clear --python $(BIN)/python $(LOWEST)
	$(BIN)/uv pip install -q --python $(LOWEST)/bin/python --resolution lowest-direct -r pyproject.toml \
	  --all-extras --group dev
	$(BIN)/uv pip install -q --python $(LOWEST)/bin/python --no-deps --no-build-isolation -e .
	$(LOWEST)/bin/pytest -q -n $(CORES) $(FAST_TESTS)

bench: setup  ## what an order costs here, beside what else one could use, three quarters of an hour
	@$(BIN)/python -m benchmarks

bench-scaling: setup  ## the same with replicas, with a million orders waiting, with history, 1-2 hours
	@$(BIN)/python -m benchmarks.scaling

mutants: setup  ## plant bugs in the core, one at a time; the simulation has to find each
	@$(BIN)/pytest -q -s tests/simulation/test_mutants.py

up: setup  ## start the stack and leave it running
	@$(BIN)/saga up --detach

down: setup  ## stop the stack, keeping its data
	@$(BIN)/saga down

lock: setup  ## pin the newest dependencies that pyproject.toml allows
	$(BIN)/uv pip compile pyproject.toml -q --upgrade --all-extras --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links -o requirements.lock
	$(BIN)/python -c 'from saga_lab.devstack.jars import rewrite_locks; rewrite_locks()'

clean:  ## remove the venv, caches and all data of the stack
	-@test ! -f .saga/stack.json || $(BIN)/saga down
	rm -rf $(VENV) .saga .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
