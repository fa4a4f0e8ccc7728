# The two main targets are `make run` and `make test`. Every target first creates .venv if it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test test-long torture simulate hunt attack bench-http check format setup lock clean

run: setup
	@exec $(BIN)/python campuskafka.py --all

# Two workers, one file each, since most tests wait for a Kafka. Other options: PYTEST_ARGS="-n0 -k journal"
test: setup
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(PYTEST_ARGS)

# The tests marked `long`, which `make test` skips: slow ones and variants.
test-long: setup
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m long $(PYTEST_ARGS)

check: setup
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

# Kills processes of a running system under load and audits it after each kill: make torture KILLS=200 SEED=1
torture: setup
	@$(BIN)/python -m tests.torture --kills $(or $(KILLS),200) --seed $(or $(SEED),1)

# Runs the processing loops on a simulated log, faults drawn by seed: make simulate SEEDS=100000, or SEED=4711
simulate: setup
	@$(BIN)/python -m tests.simulation

# Runs the Hypothesis tests with many new examples: make hunt EXAMPLES=5000
hunt: setup
	@EXAMPLES=$(or $(EXAMPLES),5000) $(BIN)/python -m pytest -n 2 -m hypothesis --hypothesis-profile=hunt $(PYTEST_ARGS)

# Sends hostile HTTP requests, drawn by seed, next to valid ones: make attack REQUESTS=100000 SEED=1
attack: setup
	@$(BIN)/python -m tests.attack --requests $(or $(REQUESTS),100000) --seed $(or $(SEED),1)

# Compares acknowledged orders per second with other stacks, which it installs; needs wrk: BENCH_ARGS="--repeats 5"
bench-http: setup
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "pip>=25.1"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group bench
	@$(BIN)/python benchmarks/http/acknowledged.py $(BENCH_ARGS)

format: setup
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

setup: $(VENV)/.ready

# The stamp file is written last, so an interrupted setup is repeated.
$(VENV)/.ready: requirements.lock
	@echo "setting up $(VENV) (about a minute the first time)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed, this is " + sys.version.split()[0])'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

# Rewrites requirements.lock from pyproject.toml: versions and hashes for every Python from 3.10 on.
lock: setup
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.10 --group dev --extra plots \
		--generate-hashes --no-annotate --no-header pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) build *.egg-info
