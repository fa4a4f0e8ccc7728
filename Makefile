# The two commands are `make run` and `make test`; both set up .venv first, once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test test-long torture simulate hunt attack bench-http check format setup lock clean

run: setup
	@exec $(BIN)/python campuskafka.py --all

# Two at a time, a file each: most of it waits for a Kafka. PYTEST_ARGS="-n0 -k journal" for something else.
test: setup
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(PYTEST_ARGS)

# What the other leaves out: variants, and what takes its time.
test-long: setup
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m long $(PYTEST_ARGS)

check: setup
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

# Kill a campus of five processes under load, again and again: make torture KILLS=200 SEED=1
torture: setup
	@$(BIN)/python -m tests.torture --kills $(or $(KILLS),200) --seed $(or $(SEED),1)

# The same loops over a simulated log, faults drawn by seed: make simulate SEEDS=100000, or SEED=4711 alone.
simulate: setup
	@$(BIN)/python -m tests.simulation

# Every property on many examples, drawn anew: make hunt EXAMPLES=5000
hunt: setup
	@EXAMPLES=$(or $(EXAMPLES),5000) $(BIN)/python -m pytest -n 2 -m hypothesis --hypothesis-profile=hunt $(PYTEST_ARGS)

# Hostile requests by HTTP, drawn by seed, beside good ones: make attack REQUESTS=100000 SEED=1
attack: setup
	@$(BIN)/python -m tests.attack --requests $(or $(REQUESTS),100000) --seed $(or $(SEED),1)

# Acknowledged orders a second against the peers, which it fetches first; wrk is wanted: BENCH_ARGS="--repeats 5"
bench-http: setup
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "pip>=25.1"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group bench
	@$(BIN)/python benchmarks/http/acknowledged.py $(BENCH_ARGS)

format: setup
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

setup: $(VENV)/.ready

# The stamp is the last thing written: a setup that was interrupted is done again.
$(VENV)/.ready: requirements.lock
	@echo "setting up $(VENV) (about a minute the first time)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed, this is " + sys.version.split()[0])'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

# Resolves pyproject.toml's ranges anew, for every Python from 3.10 on: names, versions and hashes.
lock: setup
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.10 --group dev --extra plots \
		--generate-hashes --no-annotate --no-header pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) build *.egg-info
