PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TYPES := build/types/prunescope

.NOTPARALLEL:
.PHONY: run test lint types zoo clean

## Start the explorer on the built-in gallery; MODEL=resnet50 or MODEL=pkg.module:build for another model.
run: $(VENV)/.installed
	$(BIN)/prunescope $(MODEL)

## Everything that a change must pass, in a fresh environment: lint, types, tests.
test: clean $(VENV)/.test-installed
	$(MAKE) lint types
	chromium=$$(.ci/chromium $(BIN)/python) && CHROMIUM="$$chromium" $(BIN)/pytest --numprocesses auto --dist loadfile

lint: $(VENV)/.test-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# mypy finds a package by its folders, and `prunescope` has none of its own: links stand in for it.
types: $(VENV)/.test-installed
	mkdir -p $(TYPES)
	ln -sfn ../../../core $(TYPES)/core
	ln -sfn ../../../explorer $(TYPES)/explorer
	ln -sfn ../../../assets $(TYPES)/assets
	$(BIN)/mypy

## Prune many models by half and write a table (hours): build/zoo.csv. `make zoo NAMES=resnet` for some.
zoo: $(VENV)/.test-installed
	$(BIN)/python -m tests.benchmarks.zoo $(NAMES)

clean:
	rm -rf $(VENV) build dist *.egg-info

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable ".[torchvision]"
	touch $@

$(VENV)/.test-installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	touch $@ $(VENV)/.installed
