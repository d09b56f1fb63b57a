# One vocabulary for people and CI: make setup demo test fuzz soak lint docs clean
# bench bench-serving bench-quality bench-compression
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
DEVELOPMENT := $(VENV)/.ready-development
DATA ?=

.PHONY: setup demo test fuzz soak lint bench bench-serving bench-quality bench-compression docs clean

setup: $(STAMP)

# torch first and by its exact version: that finds the CPU build where there is one; a later resolve keeps it.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "liverank needs Python 3.11 or newer; set PYTHON=..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all]'
	@touch $(STAMP)

# What tests, lint and benchmarks need besides: Spark alone is half a gigabyte, so that nobody waits for it who does not.
$(DEVELOPMENT): $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
	@touch $(DEVELOPMENT)

demo: $(STAMP)
	$(BIN)/liverank demo $(if $(DATA),--data "$(DATA)")

test: $(DEVELOPMENT)
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

# Ten minutes of requests of every kind that the OpenAPI document allows or forbids: no 5xx, no undocumented answer.
fuzz: $(DEVELOPMENT)
	$(BIN)/python -m tests.serving.fuzz $(or $(SECONDS),600)

# Half an hour of requests against two servers on one Redis that are swapped, killed and restarted meanwhile.
soak: $(DEVELOPMENT)
	$(BIN)/python -m benchmarks.soak $(if $(SECONDS),--seconds $(SECONDS))

lint: $(DEVELOPMENT)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(DEVELOPMENT)
	$(BIN)/python -m benchmarks $(ARGS)

# The server under load beside its peers, into docs/benchmarks.md.
bench-serving: $(DEVELOPMENT)
	$(BIN)/python -m benchmarks --part serving $(ARGS)

# Ranking quality on public data sets, into docs/quality.md; QUICK=1: a few minutes, into .liverank/quality-quick.md.
bench-quality: $(DEVELOPMENT)
	$(BIN)/python -m benchmarks.quality $(if $(QUICK),--quick) $(ARGS)

# What compressed bundles cost and buy, into docs/quality.md.
bench-compression: $(DEVELOPMENT)
	$(BIN)/python -m benchmarks.compression $(if $(QUICK),--quick) $(ARGS)

# Everything that is generated from code: the tests fail when one of these differs from what the code says.
docs: $(DEVELOPMENT)
	$(BIN)/liverank compile
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) .liverank
