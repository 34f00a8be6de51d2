# Linnaea. `make demo` and `make test` work on a fresh machine with Python 3.11 or later, make and git.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
SHARED ?= ../shared

.PHONY: help setup demo test lint format bench fuzz crash-test doctor docs browser example clean
.DEFAULT_GOAL := help

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

setup: $(STAMP) ## create .venv and install everything for development

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,bench]'
	@touch $(STAMP)

demo: $(STAMP) ## train four networks on 5,000 handwritten digits and compare them (a few minutes)
	@$(BIN)/linnaea demo

test: $(STAMP) browser ## run the whole test suite
	@$(BIN)/python -m pytest -q

fuzz: $(STAMP) ## read valid files after random changes, N=2000 times; see docs/reliability.md
	@$(BIN)/python -m tests.hostile.mutate $(or $(N),2000) --first $(or $(FIRST),0)

crash-test: $(STAMP) ## kill training N=100 times at random, fill its disk 30 times, and resume each time
	@$(BIN)/python -m tests.crash.kill $(or $(N),100) --jobs $(or $(JOBS),1)
	@$(BIN)/python -m tests.crash.full 30 --jobs $(or $(JOBS),1)

lint: $(STAMP) ## run ruff, mypy and import-linter
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(STAMP) ## format the code and fix what ruff can fix
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(STAMP) ## measure speed and memory, each beside comparable libraries
	@$(BIN)/python -m benchmarks

doctor: $(STAMP) ## show what is installed, which hardware is used, what is missing
	@$(BIN)/linnaea doctor

docs: $(STAMP) ## write docs/api/linnaea.html, the Python interface, from its docstrings
	@$(BIN)/python -W ignore -c "import linnaea, pathlib, pdoc; [getattr(linnaea, name) for name in linnaea.__all__]; \
	  pdoc.render.configure(docformat='numpy', show_source=False); \
	  pdoc.pdoc('linnaea', output_directory=pathlib.Path('docs/api'))"
	@echo docs/api/linnaea.html

browser: ## install Debian's Chromium, for the tests that open pages
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && apt-get -qq update && apt-get -qq install -y --no-install-recommends chromium fonts-dejavu-core >/dev/null; } \
	  || echo "No Chromium here, and no permission to install it: the tests that open pages will be skipped."

# In a folder of its own, and with a cache of its own: no earlier run was evaluated on its test set. The page of
# the data's problems is left out, because a link to it would lead nowhere from docs/.
example: $(STAMP) ## write docs/example-report.html again
	@there=$$(mktemp -d) && cd $$there && export LINNAEA_CACHE=$$there/cache \
	  && $(CURDIR)/$(BIN)/linnaea train digits --hidden 100 --epochs 20 --learning-curve true \
	  && rm runs/digits-1/check.html && $(CURDIR)/$(BIN)/linnaea report runs/digits-1 \
	  && cp runs/digits-1/report.html $(CURDIR)/docs/example-report.html && rm -r $$there

clean: ## remove .venv, runs and caches
	rm -rf $(VENV) runs .pytest_cache .mypy_cache .ruff_cache .hypothesis
