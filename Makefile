# Limpet: what a person types. `make demo` shows the main job, `make test` runs everything.
# Rules: only Python from PATH (>= 3.11) and apt-get are assumed; each target does its own set-up and is quick when nothing is missing.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= $(shell tools/python.sh)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
# Most tests wait for containers most of the time, so more of them run at once than there are cores.
WORKERS ?= $(shell n=$$(nproc); echo $$(( n < 2 ? 4 : n > 8 ? 16 : n * 2 )))
PYTEST := $(BIN)/python -m pytest -n $(WORKERS)
# What `make check` runs.
QUICK := $(addprefix tests/,unit passes plan frozen compose properties test_lint.py test_architecture.py test_structure.py \
  test_documents.py test_imports.py)
# Passed on to pytest, for example `make test ARGS="-k plan"`.
ARGS ?=
PREFIX ?= /usr
DESTDIR ?=

.PHONY: help setup setup-dev system system-test engine demo test check coverage bench sweep install lock clean

help: ## show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: system $(VENV)/.limpet engine compiled ## .venv with limpet, and what the system lacks (Docker Engine, headers)

setup-dev: setup system-test $(VENV)/.dev ## setup, and what the tests need

system:
	@tools/system.sh base

system-test:
	@tools/system.sh test

engine: system
	@tools/engine.sh

$(BIN)/python: | system
	@tools/python.sh > /dev/null
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.limpet: requirements.lock pyproject.toml | $(BIN)/python
	@echo "installing what limpet needs into $(VENV)"
	@$(PIP) install --quiet --use-pep517 --require-hashes -r requirements.lock
	@$(PIP) install --quiet --no-deps -e .
	@$(BIN)/python -m compileall -q $(VENV)/lib || true
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.limpet
	@echo "installing what the tests need into $(VENV)"
	@$(PIP) install --quiet --use-pep517 --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m compileall -q $(VENV)/lib || true
	@touch $@

.PHONY: compiled
compiled: $(VENV)/.limpet
	@$(BIN)/python -m compileall -q agent

demo: setup ## the main job on an embedded example, on this machine
	@$(BIN)/limpet demo

test: setup-dev ## everything, on the real parts
	@$(PYTEST) --junitxml=build/junit.xml $(ARGS)

check: setup-dev ## the fast part: lint, types, contracts, unit tests
	@$(PYTEST) -q $(QUICK) $(ARGS)

bench: setup-dev ## measures Limpet beside its peers
	@$(BIN)/python tests/bench/run.py $(ARGS)

sweep: setup-dev ## everything in full: each kill point, all stored answers asked again, mutants
	@$(PYTEST) tests/faults tests/histories tests/fleet tests/contract/test_compose_containers.py tests/compose tests/e2e/test_projects.py --sweep=all $(ARGS)
	@$(BIN)/python tools/mutants.py --workers $(WORKERS)

coverage: setup-dev ## the fast part, and how many branches of what decides it takes: at least 95 of 100
	@$(PYTEST) -q $(QUICK) --cov --cov-report=json:build/coverage/coverage.json --cov-report= $(ARGS)
	@$(BIN)/python tools/branches.py

install: ## the installed layout below $(DESTDIR)$(PREFIX), as packages have it
	@packaging/install.sh "$(DESTDIR)" "$(PREFIX)"

lock: ## resolves the dependencies anew into the two lock files
	@test -x build/lock/bin/uv || { $(PYTHON) -m venv build/lock && build/lock/bin/pip install --quiet uv; }
	@build/lock/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command "make lock" --quiet --upgrade pyproject.toml -o requirements.lock
	@build/lock/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command "make lock" --quiet --upgrade --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock

clean: ## removes what the targets above made in this directory
	@rm -rf $(VENV) build dist artifacts .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .complexipy_cache
