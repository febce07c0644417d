# Each target does all the set-up it needs, on a machine with Python 3.11 and Java 17.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
JARS := $(VENV)/jars
export PYTHONDONTWRITEBYTECODE =

.PHONY: install demo test lint chromium ruff mypy layers

install: $(STAMP) $(JARS)

$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "dualset: Python 3.11 is needed and $(PYTHON) was not found; install it or set PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "dualset: Python 3.11 is needed, $(PYTHON) is another version; set PYTHON=..." >&2; exit 1; }
	@java="$${JAVA_HOME:+$$JAVA_HOME/bin/}java"; "$$java" -version 2>&1 | grep -q 'version "17' || { echo "dualset: Java 17 is needed; install it or set JAVA_HOME" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check uv==0.13.9
	# Compiled once here: every Spark worker would otherwise compile torch and all else at each start.
	$(BIN)/uv pip install --quiet --compile-bytecode --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

$(JARS): $(STAMP)
	$(BIN)/python -m jobs.engine.install_jars
	touch $(JARS)

demo: install
	$(BIN)/dualset demo --root runs/demo

lint: ruff mypy layers

ruff: $(STAMP)
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

mypy: $(STAMP)
	$(BIN)/mypy

layers: $(STAMP)
	$(BIN)/lint-imports

chromium:
	@tests/support/install_chromium.sh

# What comes before the tests is mostly single processes and downloads, and goes side by side.
test:
	$(MAKE) --no-print-directory -j 3 --output-sync=target chromium install lint
	$(BIN)/python -m pytest
