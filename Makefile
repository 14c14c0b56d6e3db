# The one door: people and .ci/run go through it alike. `make` alone says what there is.

PYTHON ?= python3
ADDRESS ?= localhost:9000
PYTEST_ARGS ?=
TOX_ARGS ?= -m ends
BENCHMARK_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
BUNDLE := socketio_server/static/socketio_server/socket.io.min.js
# What the installed package is made from, besides its code, which is used in place.
RECIPE := setup.cfg pyproject.toml build_backend/backend.py package.json package-lock.json

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo test workers versions lint format messages benchmark clean

help:  ## Say what there is
	@sed -n 's/^\([a-z]*\):.*## /make \1	/p' $(MAKEFILE_LIST)

setup: $(VENV)/tests  ## Make .venv, with the package (editable) and all that the tests need
	@:

demo: $(VENV)/package  ## Run the demo on http://localhost:9000/ (ADDRESS=host:port for another place)
	$(BIN)/python manage.py runserver_socketio $(ADDRESS)

test: setup node_modules lint  ## Lint, and run all tests with coverage (PYTEST_ARGS=... for some)
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest --numprocesses=auto --dist=loadfile $(PYTEST_ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report $(if $(PYTEST_ARGS),--fail-under=0)

workers: setup  ## Try the server as three workers of gunicorn with Redis: what of the live tests fits that
	$(BIN)/python -m pytest --numprocesses=auto --dist=loadfile --workers=3 $(PYTEST_ARGS) tests/live

# pyenv hides all versions but the chosen one, unless told otherwise.
versions: setup  ## Run the quick tests for each Python that there is (TOX_ARGS= for each Django, too)
	if command -v pyenv >/dev/null; then \
	  export PYENV_VERSION="$$(pyenv version-name):$$(pyenv versions --bare | paste -sd:)"; fi; \
	$(BIN)/tox run $(TOX_ARGS)

lint: setup  ## Check format, style, spelling, types and the order of the layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup  ## Put the Python code into its form, and what pages show of it
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/python -m tests.docs.embedded

messages: setup  ## Collect and compile the demo's translations (needs gettext)
	$(BIN)/python manage.py makemessages --all --no-wrap --ignore='.*' --ignore=node_modules --ignore=socketio_server --ignore=tests
	$(BIN)/python manage.py compilemessages --ignore='.*' --ignore=node_modules

benchmark: setup  ## Measure the server beside others, for ten minutes (BENCHMARK_ARGS=--help)
	$(BIN)/python benchmarks/run.py $(BENCHMARK_ARGS)

clean:  ## Remove all that was built or installed here
	rm -rf $(VENV) .tox node_modules build dist *.egg-info $(BUNDLE) $(BUNDLE).map build_backend/client.sha256 .coverage .coverage.* .bench

$(VENV)/package: $(RECIPE)
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed (PYTHON=...)" \
	  if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/tests: $(VENV)/package
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@

# The editable install puts the client there: without it, install again.
ifeq ($(wildcard $(BUNDLE)),)
.PHONY: $(VENV)/package
endif

# The official clients for Node.js. Without npm, the tests that need them say so.
node_modules: package.json package-lock.json
	@if command -v npm >/dev/null; \
	  then npm ci --ignore-scripts --no-audit --no-fund && touch node_modules; \
	  else echo "No npm here: tests with the official JavaScript client can't run."; fi
