# Every target sets up .venv when it is missing or when the requirements changed.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test test-full bench docs lint format
.DELETE_ON_ERROR:

# Huge pages, where the system allows them: docs/performance.md.
run: export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1
run: .venv/.run
	mkdir -p runs
	$(BIN)/msdi deblur --input docs/gallery/blurry --output runs/deblurred
	$(BIN)/msdi train --config continued --workdir runs/continued

# Each file in one of two processes, in the order of tests/conftest.py.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test: .venv/.dev
	$(PYTEST) -m "not slow"

test-full: .venv/.dev
	$(PYTEST)

# Compares with PyTorch, on an otherwise idle machine; rewrites the table of docs/performance.md.
bench: .venv/.dev
	$(BIN)/python -m benchmarks.run

# Pages in site/.
docs: .venv/.dev
	$(BIN)/python -m mkdocs build --strict

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: .venv/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv/.run: requirements.txt pyproject.toml setup.py
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade-strategy only-if-needed -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

.venv/.dev: requirements-dev.txt .venv/.run
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	touch $@
