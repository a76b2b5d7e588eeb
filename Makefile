# `make help` lists the targets. PYTHON chooses the interpreter (3.11 to 3.13) that .venv is made with.
PYTHON ?= python3
VENV := .venv
ORACLE := .oracle-venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
# setuptools comes first and from constraints.txt, so that the build itself uses a pinned one.
INSTALL = $(PIP) install --quiet --constraint constraints.txt setuptools && $(PIP) install --constraint constraints.txt --no-build-isolation --editable

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test check check-units soak oracle bench clean

help:
	@echo 'make demo    a whole fleet on this machine: trains on real data, then attacks itself (ARGS="--devices 20")'
	@echo 'make test    every test that needs neither root nor a network'
	@echo 'make check   lint, types, import contracts, documentation, generated files, systemd units'
	@echo 'make soak    altered inputs, long random histories and 10,000 storms of faults, progress shown (MINUTES=5 SEEDS=100)'
	@echo 'make oracle  torch, scikit-learn and Keras give the stored gradients again (an environment of its own; ARGS= writes them anew)'
	@echo 'make bench   a training step of ONNX graphs beside torch, on one thread of a quiet machine'
	@echo 'make clean   remove what these targets made, .venv included'

demo: $(VENV)/installed-demo
	@$(has-mosquitto) || ( $(call system-packages,mosquitto) ) || echo 'Without it the fleet runs in one process.'
	@$(BIN)/hushfleet demo $(ARGS)

test: $(VENV)/installed-dev
	@$(has-mosquitto) && command -v strace >/dev/null || $(call system-packages,mosquitto strace)
	@$(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

check: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/mkdocs build --quiet --strict
	$(BIN)/python -m tests.vectors.generate --check
	$(BIN)/python -m models.onnx.prepare.operators --check
	$(BIN)/python -m tests.diagrams --check
	@$(MAKE) --no-print-directory check-units

# The program that the units name has to exist for `verify`; the threshold is ten times the score.
check-units:
	@command -v systemd-analyze >/dev/null || ( $(call system-packages,systemd) ) || echo 'Without systemd-analyze the units are not checked.'
	@mkdir -p build/units
	@for unit in systemd/*.service; do sed 's#/usr/bin/hushfleet#$(abspath $(BIN))/hushfleet#' $$unit >build/units/$${unit##*/}; done
	@! command -v systemd-analyze >/dev/null || { systemd-analyze verify --man=no build/units/*.service && for unit in build/units/*.service; do \
	  systemd-analyze security --offline=yes --no-pager --threshold=15 $$unit >$$unit.log || { cat $$unit.log; exit 1; }; tail -n 1 $$unit.log; done; }

# Half of the time for the readers, with atheris where a wheel of it exists; then storms of faults (two hours), then identities in long random orders.
soak: MINUTES = 60
soak: SEEDS = 10000
soak: $(VENV)/installed-dev
	@$(PIP) install --quiet atheris || echo 'Without atheris inputs are altered by chance alone.'
	@$(BIN)/python -m tests.soak.readers --minutes $$(( ($(MINUTES) + 1) / 2 ))
	@$(BIN)/hushfleet simulate --seeds 0:$(SEEDS)
	@SOAK_SEEDS=$(MINUTES) $(BIN)/python -m pytest -n 2 -q tests/attacks/test_identities.py

# A CPU build of torch is enough, and far smaller: PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
oracle: ARGS = --check
oracle: $(ORACLE)/installed
	@$(ORACLE)/bin/python -W ignore -m tests.oracle.make_zoo $(ARGS)
	@$(ORACLE)/bin/python -W ignore -m tests.oracle.second

bench: $(ORACLE)/installed
	@$(ORACLE)/bin/python -W ignore -m benchmarks.onnx $(ARGS)

$(ORACLE)/installed: pyproject.toml
	@$(PYTHON) -m venv $(ORACLE)
	@$(ORACLE)/bin/python -m pip --disable-pip-version-check --no-input install --quiet --editable '.[oracle]'
	@touch $@

clean:
	rm -rf $(VENV) $(ORACLE) build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps are older than pyproject.toml or constraints.txt as soon as one of them changes: then the install is brought up to date.
$(VENV)/installed-demo: pyproject.toml constraints.txt | $(BIN)/python
	@echo 'Installing what the demo needs into $(VENV) (under a minute, once)'
	@$(INSTALL) '.[demo]'
	@touch $@

$(VENV)/installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo 'Installing the development tools into $(VENV) (about a minute, once)'
	@$(INSTALL) '.[dev]'
	@touch $@ $(VENV)/installed-demo

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo 'Python 3.11, 3.12 or 3.13 is needed; choose one with: make PYTHON=python3.11 ...'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(call system-packages,python3-venv)
	@$(PYTHON) -m venv $(VENV)

# Debian puts it where a user's PATH does not lead.
has-mosquitto = PATH="$$PATH:/usr/sbin:/usr/local/sbin" command -v mosquitto >/dev/null

# Installs Debian packages as root or with a sudo that asks nothing; otherwise says what to type.
system-packages = { \
  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -qq && apt-get install -y --no-install-recommends $(1); \
  elif sudo -n true 2>/dev/null && command -v apt-get >/dev/null; then sudo apt-get update -qq && sudo apt-get install -y --no-install-recommends $(1); \
  else echo 'Missing system packages. Type: sudo apt install $(1)'; exit 1; fi; }
