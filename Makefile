# Verbs for people and for CI. Everything is installed from the hashed locks in requirements/ into .venv;
# stamp files there make a second call instant.

MAKEFLAGS += --no-print-directory --no-builtin-rules
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Exactly what a lock lists, from wheels: resolving is left to `make locks`, and a build might ask for packages of its own.
INSTALL := $(PIP) install --quiet --no-deps --require-hashes --only-binary :all:
# Whether the locks are complete. lifetimes lacks what it declares, on purpose (see .demo).
CHECK := found=$$($(PIP) check 2>&1) || ! printf '%s\n' "$$found" | grep -v '^lifetimes ' >&2
# Whoever may not install packages has tests skipped, by name; where something could not be installed, they fail.
MAY_INSTALL := $(shell [ "$$(id -u)" = 0 ] && command -v apt-get)

# What is installed apart from the others, an extra and a lock for each; the runtime is all of them.
ROLES := worker view api webhooks replay
ALL := $(ROLES:%=--extra %)

COMPILE := CUSTOM_COMPILE_COMMAND='make locks' $(BIN)/pip-compile --quiet

# A lock of one package, without what it depends on.
lock-one = $(COMPILE) --extra $(1) --no-annotate \
	--constraint requirements/runtime.txt --output-file - pyproject.toml \
	| awk '/^[a-z]/ {listed = 1} !/^ / {wanted = /^$(2)==/} wanted || !listed' > requirements/$(1).txt

.PHONY: help setup demo test scenarios lint quality bench bench-kafka bench-serve bench-console screenshots chaos fuzz sizes wheels locks clean programs library

help: ## list the verbs
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

setup: $(VENV)/.dev $(VENV)/.demo ## install everything that development needs into .venv

demo: $(VENV)/.runtime $(VENV)/.demo ## segment the real CDNOW customers and write a report
	@$(BIN)/segmenter demo

test: setup programs ## run all tests; core/, segmentations/ and learning/ must be covered to the last branch
	$(BIN)/python -m pytest -n auto --dist worksteal --cov --cov-report= $(if $(MAY_INSTALL),,--skip-missing)
	$(BIN)/coverage report --include='stream_app/core/*,stream_app/learning/*,stream_app/segmentations/*' --fail-under=100

scenarios: $(VENV)/.dev ## run scenarios of segments through the embedded runtime, a line for each (SCENARIOS=folder)
	@$(BIN)/python -m tests.scenarios.run $(SCENARIOS)

lint: $(VENV)/.dev ## style, types, import directions, schemas in step with the code, spelling and the house list of words
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/segmenter schemas check
	$(BIN)/codespell
	$(BIN)/python -m tests.prose.house

quality: $(VENV)/.dev $(VENV)/.demo ## measure segments and migrations against known truth and real data
	$(BIN)/python -m benchmarks.quality

bench: $(VENV)/.dev ## measure speed and memory as ratios to bare loops
	$(BIN)/python benchmarks/bench.py
	$(BIN)/python benchmarks/loading.py

bench-kafka: programs ## measure the worker on Kafka beside bare, hand-written and plain Faust loops
	$(BIN)/python benchmarks/bench_kafka.py

bench-serve: programs ## measure look-ups, view writes and the live stream beside the bare libraries
	$(BIN)/python benchmarks/bench_serve.py

bench-console: programs ## measure how soon the live console shows figures of a million customers
	$(BIN)/python benchmarks/console.py

screenshots: programs ## take pictures of every page of the demo's report (REPORT=folder of another one)
	$(BIN)/python -m tests.web.screenshots $(or $(REPORT),demo)

chaos: programs ## kill, freeze, fence and flood real workers, brokers and Redis, and verify what is left (SEED=n)
	$(BIN)/python -m tests.chaos.run --seed $(or $(SEED),1)

fuzz: | $(BIN)/python ## fuzz what reads bytes of others, each target for a minute (SECONDS=n)
	$(BIN)/python native/fuzz/run.py --seconds $(or $(SECONDS),60)

sizes: | $(BIN)/python ## install the lock of each role into a folder of its own and print how large it is
	@$(BIN)/python deploy/sizes.py

wheels: $(VENV)/.runtime ## build the wheels of all platforms into dist/
	$(INSTALL) -r requirements/compiler.txt
	@rm -rf build
	@for target in $$($(BIN)/python native/build.py --list-targets); do \
		$(PIP) wheel --quiet --no-deps --no-build-isolation --wheel-dir dist --config-settings target=$$target . || exit 1; \
	done
	@rm -rf build *.egg-info; ls -1 dist

locks: $(VENV)/.dev ## resolve the dependencies of pyproject.toml anew into requirements/*.txt
	@$(BIN)/python --version | grep -q ' 3\.11\.' || echo 'note: locks are best made with Python 3.11, the oldest supported'
	$(COMPILE) --build-deps-for editable $(ALL) --output-file requirements/runtime.txt pyproject.toml
	$(COMPILE) --build-deps-for editable $(ALL) --extra quality --extra dev \
		--constraint requirements/runtime.txt --output-file requirements/dev.txt pyproject.toml
	for role in $(ROLES); do \
		$(COMPILE) --extra $$role --constraint requirements/runtime.txt --output-file requirements/$$role.txt pyproject.toml || exit 1; \
	done
	$(COMPILE) --only-build-deps --build-deps-for wheel --constraint requirements/runtime.txt \
		--output-file requirements/build.txt pyproject.toml
	$(call lock-one,demo,lifetimes)
	$(call lock-one,compiler,ziglang)
	@rm -rf *.egg-info

clean: ## remove .venv, caches and what the verbs wrote
	rm -rf $(VENV) build dist *.egg-info .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The first interpreter that is new enough; on Debian the venv module is a package of its own.
$(BIN)/python:
	@for python in python3.13 python3.12 python3.11 python3; do \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then without_venv="$$python"; continue; fi; \
		exec "$$python" -m venv $(VENV); \
	done; \
	if [ -n "$$without_venv" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && [ -z "$(VENV_INSTALLED)" ]; then \
		echo "installing python3-venv"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null \
			&& exec $(MAKE) VENV_INSTALLED=1 $@; \
	fi; \
	if [ -n "$$without_venv" ]; then \
		echo "$$without_venv cannot create virtual environments: on Debian, install the package python3-venv" >&2; \
	else \
		echo "Python 3.11 or newer is needed: found none of python3.13, python3.12, python3.11, python3" >&2; \
	fi; \
	exit 1

# The compiled library, unless it is current. Where no compiler is installed, one comes as a wheel.
library: | $(BIN)/python
	@! $(BIN)/python native/build.py --lacks-compiler || $(INSTALL) -r requirements/compiler.txt
	@$(BIN)/python native/build.py

# The build backend is in the lock, so that building the package asks no index for anything.
$(VENV)/.runtime: requirements/runtime.txt pyproject.toml | $(BIN)/python library
	$(INSTALL) -r requirements/runtime.txt
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@$(CHECK)
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.runtime
	$(INSTALL) -r requirements/dev.txt
	@$(CHECK)
	@touch $@

# Only its data file is read, so what lifetimes itself depends on stays out.
$(VENV)/.demo: requirements/demo.txt | $(VENV)/.runtime
	$(INSTALL) -r requirements/demo.txt
	@touch $@

# Tests start programs of their own, and Debian is kept from starting its own. Kafka's jars come by Maven at the first test.
programs: $(VENV)/.dev
	@packages=$$($(BIN)/python -m tests.support.programs) || exit 1; \
	[ -n "$$packages" ] || exit 0; \
	if [ -n "$(MAY_INSTALL)" ]; then \
		echo "installing $$packages for the tests"; \
		policy=/usr/sbin/policy-rc.d; \
		if [ ! -e $$policy ]; then \
			trap "rm -f $$policy" EXIT; trap 'exit 1' INT TERM; \
			printf '#!/bin/sh\nexit 101\n' > $$policy; chmod +x $$policy; \
		fi; \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$packages; } \
			>/dev/null || echo "not installed: $$packages; what needs them will fail and say so"; \
	else \
		echo "not found, and only root can install them: $$packages (Debian's names); CONTRIBUTING says what is skipped without"; \
	fi
