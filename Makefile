# Two commands on a fresh machine: `make demo` shows the package at work, `make test` checks it.
# Both make their own virtual environment in .venv and need nothing but Python >= 3.11 and a package index.
#
# PYTHON  the interpreter to build .venv from; by default the first of python3.11, 3.12, 3.13, 3.14, python3 that runs,
#         is at least 3.11 and can make virtual environments.
# TORCH   pip requirement (and options) for PyTorch, installed first so that no later step changes the build. By default
#         a release that the suite is run against on Python 3.11, and nothing elsewhere: scvi-tools then chooses.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.installed
DEV := $(VENV)/.installed-dev

# Version managers put launchers on the path that fail when run: an interpreter counts only if it runs.
usable = $(1) -c "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))" > /dev/null 2>&1
ifeq ($(origin PYTHON),undefined)
PYTHON := $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do $(call usable,$$p) && echo $$p && break; done)
endif
ifeq ($(origin TORCH),undefined)
TORCH = $(shell $(BIN)/python -c "import sys; print('torch==2.13.0' if sys.version_info[:2] == (3, 11) else '')")
endif

# Public data sets beside the checkout: then a test that needs them may not skip.
DATA := $(wildcard ../shared/data)
ifneq ($(DATA),)
export SCGAUGE_DATA_DIR := $(abspath $(DATA))
DATA_FLAG := --require-data
endif
# Docs refer to other projects' pages only where these can be read: DOCS_OFFLINE= (empty) turns that on.
export DOCS_OFFLINE ?= 1
# Tests at a time; each takes 2 GB of memory.
JOBS ?= 2
PYTEST_ARGS ?=
# Measured where it is asked for, as .ci/run does: it makes the tests half as long again.
COVERAGE ?=
COVERAGE_FLAGS := $(if $(COVERAGE),--cov --cov-report=term --cov-report=xml)
DEMO_ARGS ?=

.PHONY: help demo test check docs tutorials format clean distclean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1  /' | column -t -l 3 2> /dev/null \
	    || grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST)

demo: $(RUNTIME) ## train on real cells, draw synthetic ones and write scgauge-demo/index.html
	$(BIN)/scgauge demo $(DEMO_ARGS)

test: $(DEV) ## check the floors, run the tests and the examples of the docstrings; COVERAGE=1 measures coverage, too
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests src --doctest-modules -n $(JOBS) --dist loadscope $(COVERAGE_FLAGS) \
	    $(DATA_FLAG) $(PYTEST_ARGS)

check: $(DEV) ## lint, format, floors, types, spelling, metadata, docs, package
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/codespell
	$(BIN)/validate-pyproject pyproject.toml
	$(MAKE) --no-print-directory docs
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*

docs: $(DEV) ## build the documentation in docs/_build/html and check its links
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html
	@grep -q '<img' docs/_build/html/gallery.html || { echo "The gallery has no pictures." >&2; exit 1; }
	$(BIN)/python docs/check_links.py docs/_build/html README.md

tutorials: $(DEV) ## build the documentation with every tutorial executed
	@# Networks of tutorials are small: a second thread waits more than it computes, for minutes on a busy machine.
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} SCGAUGE_TUTORIALS=1 $(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/tutorials

format: $(DEV) ## put the code into the house style
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

clean: ## remove what builds and tests leave behind
	rm -rf dist docs/_build docs/api/generated docs/.jupyter_cache .coverage .coverage.* coverage.xml scgauge-demo
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache lightning_logs
	find src tests docs -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## also remove the virtual environments
	rm -rf .venv .venv-next

$(BIN)/python:
	@if [ -z "$(PYTHON)" ] || ! $(call usable,$(PYTHON)); then \
	    echo "Found no Python >= 3.11 that can make a virtual environment. Name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; \
	    exit 1; \
	fi
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	$(PYTHON) -m venv $(VENV)
	@# Dependency groups need pip 25.1.
	$(BIN)/python -m pip install --upgrade "pip>=25.1"

$(RUNTIME): pyproject.toml | $(BIN)/python
	$(if $(strip $(TORCH)),$(BIN)/python -m pip install $(TORCH))
	$(BIN)/python -m pip install -e .
	@touch $@

$(DEV): pyproject.toml | $(BIN)/python
	$(if $(strip $(TORCH)),$(BIN)/python -m pip install $(TORCH))
	$(BIN)/python -m pip install -e . --group dev
	@touch $(RUNTIME) $@
