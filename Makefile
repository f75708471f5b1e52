# `make up` runs the exchange on this machine, `make test` checks all of it. Both need only python3 (3.11 or newer) and make.

PYTHON ?= python3
RUN := .venv/bin
# Python compiles each module once, whatever the shell wants: else every process we start compiles Django anew.
unexport PYTHONDONTWRITEBYTECODE
# For checks that read the settings and use none of the services.
CHECK := DATABASE_URL=postgresql://check@127.0.0.1:1/check REDIS_URL=redis://127.0.0.1:1/0 \
         SECRET_KEY=only-for-checks-that-keep-no-secret-at-all-0123456789 EXCHANGE_HOME=.exchange-check

.PHONY: up test test-long check faults bench lock install clean

# `make up SIMULATE=1` has makers and takers trade the demo market.
up: install
	@exec env $(if $(SIMULATE),EXCHANGE_SIMULATE=true) $(RUN)/python manage.py up

test: check
	$(RUN)/pytest -m "not long" --numprocesses 2 --dist loadgroup

# The benches of feeds and stops, small.
test-long: install
	$(RUN)/pytest -m long

check: install
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(CHECK) $(RUN)/mypy .
	$(RUN)/lint-imports
	$(CHECK) $(RUN)/python -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
	$(CHECK) $(RUN)/python manage.py check --fail-level WARNING

# Kills every process at random moments under load, for longer than the tests do.
faults: install
	$(RUN)/python -m tests.simulation.faults

bench: install
	$(RUN)/python manage.py bench

install:
	@$(PYTHON) exchange/embedded/install.py

# Resolves pyproject.toml anew, for every Python and platform we support.
lock: install
	$(RUN)/python -m pip install --quiet --disable-pip-version-check uv
	$(RUN)/python -m uv pip compile --quiet --universal --python-version 3.11 --upgrade --generate-hashes --no-header \
	    --no-emit-index-url --no-emit-find-links --group dev --output-file requirements.lock pyproject.toml

# Leaves .exchange, where the data is.
clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
