PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Changes of the dependencies, or a missing .venv, bring it up to date before anything else runs.
STAMP := $(VENV)/.stamp
# The benchmarks' peers have an environment of their own. A round of everything takes half an hour.
ROUNDS ?= 3
BENCH_VENV := .venv-bench
BENCH_STAMP := $(BENCH_VENV)/.stamp
PYTEST_WORKERS ?= 2

.PHONY: demo test check lint format types contracts budget bench clean distclean

demo: $(STAMP)
	$(BIN)/python examples/digits.py

# Workers share the cores, so each has one thread.
test: export OMP_NUM_THREADS ?= 1
test: $(STAMP)
	$(BIN)/python -m pytest --pyargs cornu.testing.conformance --backend numpy -q -n $(PYTEST_WORKERS)
	$(BIN)/python -m pytest --pyargs cornu.testing.conformance --backend jax -q -n $(PYTEST_WORKERS)
	$(BIN)/python -m pytest --pyargs cornu.testing.conformance --backend torch -q -n $(PYTEST_WORKERS)
	$(BIN)/python -m pytest --pyargs cornu.testing.conformance --backend tensorflow -q -n $(PYTEST_WORKERS)
	$(BIN)/python -m pytest -n $(PYTEST_WORKERS)

check: lint types contracts budget test

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMP)
	$(BIN)/mypy

contracts: $(STAMP)
	$(BIN)/lint-imports

budget: $(STAMP)
	$(BIN)/python scripts/size.py
	$(BIN)/python scripts/op_table.py --check
	$(BIN)/python scripts/backend_table.py --check

bench: $(BENCH_STAMP)
	$(BENCH_VENV)/bin/python benchmarks/run.py --rounds $(ROUNDS) --json benchmarks/numbers.json --report

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Cornu needs Python 3.11 or newer; name one with `make PYTHON=python3.12`.")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,plot,data]'
	touch $@

$(BENCH_STAMP): pyproject.toml constraints.txt benchmarks/requirements.txt
	$(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install --quiet --constraint constraints.txt --requirement benchmarks/requirements.txt --editable '.[dev,plot,data]'
	touch $@

clean:
	rm -rf build dist demo_output .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests scripts benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV) $(BENCH_VENV) benchmarks/numbers.json
