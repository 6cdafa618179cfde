# Everything happens in .venv and build: nothing is installed elsewhere, and `make clean` removes it all.
# A target's stamp file makes a second run start at once.

PYTHON     ?= python3
AZ_VERSION := 2.91.0
AZ_OLDEST  := $(shell sed -n 's/.*"azext.minCliCoreVersion": "\(.*\)".*/\1/p' azext_batchai/azext_metadata.json)
WORKERS    ?= 2
ARGS       ?=

VENV    := .venv
BIN     := $(VENV)/bin
AZDEV   := .venv-azdev
DEMO    := build/demo
VERSION := $(shell sed -n 's/^VERSION = "\(.*\)"/\1/p' azext_batchai/_version.py)
WHEEL   := dist/batchai-$(VERSION)-py3-none-any.whl
SOURCES := $(shell find azext_batchai -name '*.py' -o -name '*.json') setup.py requirements.txt README.md HISTORY.rst

# az as the demo and the benchmarks see it: its own configuration and extension folders, none of the caller's settings.
AZ_ENV := env $(foreach name,$(filter AZURE_% AZ_BATCHAI_%,$(.VARIABLES)),-u $(name)) \
          PATH="$(CURDIR)/$(BIN):$$PATH" AZURE_CORE_COLLECT_TELEMETRY=no
PIP    := $(BIN)/python -m pip --disable-pip-version-check -qq

# The tests of the extension and those of a job: what another Python (`fast`) or azure-cli (`compat`) could break.
FAST := tests/extension tests/e2e/test_jobs.py

.PHONY: demo test fast compat conformance mutants soak bench pictures wheel lint azdev clean
.DELETE_ON_ERROR:

demo: $(DEMO)/.installed $(VENV)/.demo
	@$(AZ_ENV) AZURE_CONFIG_DIR="$(CURDIR)/$(DEMO)/azure" AZURE_EXTENSION_DIR="$(CURDIR)/$(DEMO)/extensions" demo/run.sh

test: $(VENV)/.test
	$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

compat: .venv-oldest/.installed
	$(<D)/bin/python -m pytest -n $(WORKERS) $(FAST) $(ARGS)

fast: .venv-$(notdir $(PYTHON))/.installed
	$(<D)/bin/python -m pytest -n $(WORKERS) $(FAST) $(ARGS)

conformance: $(VENV)/.test
	BATCHAI_EXAMPLES=200 $(BIN)/python -m pytest -n $(WORKERS) tests/wire/test_schemathesis.py tests/fuzz tests/conformance $(ARGS)

# Kills the service, its launcher and its runners under load: make soak ARGS="--hours 8 --seed 7"
soak: $(VENV)/.test
	$(BIN)/python tests/crash $(ARGS)

bench: $(DEMO)/.installed
	@$(AZ_ENV) AZURE_EXTENSION_DIR="$(CURDIR)/$(DEMO)/extensions" $(BIN)/python benchmarks $(ARGS)

# The pictures of the README, made anew by their test.
pictures: $(VENV)/.test
	$(BIN)/python -m pytest tests/ui/test_pictures.py
	mkdir -p docs/images
	for name in overview experiment; do cp build/ui/readme-$$name.png docs/images/$$name.png; done

mutants: $(VENV)/.test
	$(BIN)/python tests/mutants $(ARGS)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/bandit -q -ll -c pyproject.toml -r azext_batchai

azdev: $(AZDEV)/.installed
	$(AZDEV)/bin/python .ci/run_azdev.py

wheel: $(WHEEL)

clean:
	rm -rf $(VENV) $(VENV)-* build dist *.egg-info .hypothesis .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(WHEEL): $(VENV)/.azure-cli $(SOURCES)
	rm -rf build/lib build/bdist.* dist
	$(PIP) wheel --no-deps --wheel-dir dist .
	@touch $@

$(DEMO)/.installed: $(WHEEL)
	rm -rf $(DEMO)
	mkdir -p $(DEMO)
	$(AZ_ENV) AZURE_CONFIG_DIR="$(CURDIR)/$(DEMO)/azure" AZURE_EXTENSION_DIR="$(CURDIR)/$(DEMO)/extensions" \
	    az extension add --yes --source $(WHEEL)
	@touch $@

$(VENV)/.azure-cli:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	@echo "Installing azure-cli $(AZ_VERSION) into $(VENV) (once, about a minute)"
	$(PIP) install azure-cli==$(AZ_VERSION)
	@touch $@

# An environment of its own: azdev pins pylint and more, and reads the extension with the core of azure-cli alone.
$(AZDEV)/.installed: requirements.txt
	$(PYTHON) -m venv $(AZDEV)
	$(AZDEV)/bin/python -m pip --disable-pip-version-check -qq install azure-cli-core==$(AZ_VERSION) azdev==0.2.13 \
	    azure-common -r requirements.txt
	@touch $@

# Environments of `fast` and `compat`. What the extension requires is looked for last, as az has it in the folder of an
# extension: azure-cli's own packages, which may be as old as itself, come first.
.venv-oldest/.installed: AZ_VERSION := $(AZ_OLDEST)
.venv-%/.installed: azext_batchai/azext_metadata.json requirements.txt tests/requirements.txt
	rm -rf $(@D)
	$(PYTHON) -m venv $(@D)
	@echo "Installing azure-cli $(AZ_VERSION) into $(@D) (once, about a minute)"
	$(@D)/bin/python -m pip --disable-pip-version-check -qq install azure-cli==$(AZ_VERSION) \
	    $$(grep -E "^(pytest|jsonschema)" tests/requirements.txt)
	$(@D)/bin/python -m pip --disable-pip-version-check -qq install --target $(@D)/extension -r requirements.txt
	echo "$(CURDIR)/$(@D)/extension" > \
	    "$$($(@D)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/extension.pth"
	@touch $@

$(VENV)/.test: $(VENV)/.azure-cli requirements.txt tests/requirements.txt
	$(PIP) install -r requirements.txt -r tests/requirements.txt
	@touch $@

$(VENV)/.demo: $(VENV)/.azure-cli demo/requirements.txt
	$(PIP) install -r demo/requirements.txt
	@touch $@
