# `make` lists the targets. Everything runs in .venv, which is made when it is missing or out of date.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO := build/demo
WEB := build/web
WORKERS ?= 2
unexport PYTHONDONTWRITEBYTECODE  # else every process compiles tlkit, and every worker all tests

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all test-web test-install lint fix docs docs-check sample fuzz fuzz-ci bench backbones exports

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): setup.cfg pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tlkit needs Python 3.11 or newer; try make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

install: $(READY)  ## Make .venv with tlkit and its developer tools

demo: $(READY)  ## Transfer learning on digits, then beach or desert, without downloads; fails if transfer is not better
	@$(BIN)/python sample_data/demo.py $(DEMO)

test: $(READY)  ## The fast tests
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup --durations=20

test-all: $(READY)  ## All tests: real weights, every backbone, fault injection
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup --durations=20 -m 'not web and not install'

test-web: $(READY)  ## The pages in a headless browser; needs npm, and Chromium or CHROMIUM=path
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[web]'
	npm install --silent --no-audit --no-fund --prefix $(WEB) axe-core@4
	npm install --silent --no-audit --no-fund --ignore-scripts --prefix $(WEB) onnxruntime-web@1 sharp@0.35
	$(BIN)/python -m pytest -q -m web tests/web tests/export

test-install: $(READY)  ## The wheel alone in a fresh environment, then each extra; needs a network
	$(BIN)/python -m pytest -q -s -m install tests/install

lint: $(READY)  ## Format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

fix: $(READY)  ## Format, and apply the linter's fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(READY)  ## Rewrite docs/commands.md from the commands' help
	$(BIN)/python -m tests.write_commands

docs-check: $(READY)  ## Build the site of docs/ in build/site and check its links; needs no network but for packages
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	$(BIN)/python -m website.check build/site

sample: $(READY)  ## Draw the images of sample_data again
	$(BIN)/python sample_data/make_samples.py

backbones: $(READY)  ## Check every backbone; each row is written at once, so it continues where it was stopped
	$(BIN)/python -m tests.check_backbones

exports: $(READY)  ## Export every backbone in every format and compare the files with Keras; continues likewise
	$(BIN)/python -m tests.check_exports

fuzz: $(READY)  ## Absurd values for every option, and damaged files; it continues where it was stopped
	$(BIN)/python -m tests.fuzz
	$(BIN)/python -m tests.mutations

fuzz-ci: $(READY)  ## Damaged files for a minute, always the same ones
	$(BIN)/python -m tests.mutations build/mutations-ci --seconds 60

bench: $(READY)  ## Time tlkit against the Keras guide's script; needs TLKIT_TEST_DATA and KERAS_HOME
	$(BIN)/python benchmarks/run.py --write
