# Linnaea. `make demo` and `make test` work on a fresh machine with Python 3.11 or later, make and git.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
SHARED ?= ../shared

.PHONY: help setup demo test lint format bench fuzz crash-test doctor browser example clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

setup: $(STAMP) ## make .venv and install everything that development needs

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,bench]'
	@touch $(STAMP)

demo: $(STAMP) ## train on 5,000 handwritten digits and compare the networks (a few minutes)
	@$(BIN)/linnaea demo

test: $(STAMP) browser ## run the whole test suite
	@$(BIN)/python -m pytest -q

fuzz: $(STAMP) ## change valid files at random, N=2000 times, and read them; see docs/reliability.md
	@$(BIN)/python -m tests.hostile.mutate $(or $(N),2000) --first $(or $(FIRST),0)

crash-test: $(STAMP) ## kill training N=100 times at random moments, fill its disk 30 times, and go on
	@$(BIN)/python -m tests.crash.kill $(or $(N),100) --jobs $(or $(JOBS),1)
	@$(BIN)/python -m tests.crash.full 30 --jobs $(or $(JOBS),1)

lint: $(STAMP) ## ruff, mypy, import-linter
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(STAMP) ## let ruff format and mend
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(STAMP) ## measure speed and memory, each beside its peers
	@$(BIN)/python -m benchmarks

doctor: $(STAMP) ## what is installed, which hardware is used, what is missing
	@$(BIN)/linnaea doctor

browser: ## Debian's Chromium, for the tests that look at pages
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && apt-get -qq update && apt-get -qq install -y --no-install-recommends chromium fonts-dejavu-core >/dev/null; } \
	  || echo "No Chromium here, and no right to install it: the tests that look at pages will be skipped."

# In a folder of its own, and with a cache of its own: no earlier run has looked at its test part. The page of
# the data's problems is left out, because a link to it would lead nowhere from docs/.
example: $(STAMP) ## make docs/example-report.html again
	@there=$$(mktemp -d) && cd $$there && export LINNAEA_CACHE=$$there/cache \
	  && $(CURDIR)/$(BIN)/linnaea train digits --hidden 100 --epochs 20 --learning-curve true \
	  && rm runs/digits-1/check.html && $(CURDIR)/$(BIN)/linnaea report runs/digits-1 \
	  && cp runs/digits-1/report.html $(CURDIR)/docs/example-report.html && rm -r $$there

clean: ## remove what was made here
	rm -rf $(VENV) runs .pytest_cache .mypy_cache .ruff_cache .hypothesis
