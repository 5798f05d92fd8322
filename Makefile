# The same five words as everywhere: setup, check, test, demo, docs.
# Also for the makes that tests start: they compare what is printed.
MAKEFLAGS += --no-print-directory
BIN := .venv/bin
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header
DEMO ?=
SMALL ?=
CODE := src tests benchmarks tools demo

.PHONY: setup check test demo demo-full faults docs lock help

help:     ## list these commands
	@sed -nE 's/^([a-z-]+):[a-z ]*## /\1\t/p' Makefile

setup:    ## .venv with the pinned packages, and the Debian programs that tests and the lab need
	@python3 tools/setup.py

check: setup    ## what needs no running program: lint, format, types, layers, house rules
	$(BIN)/ruff check --quiet $(CODE)
	$(BIN)/ruff format --check --quiet $(CODE)
	$(BIN)/mypy --no-error-summary
	$(BIN)/lint-imports --no-logo
	$(BIN)/yamllint --strict .
	$(BIN)/vermin --quiet --violations --no-tips --target=3.9- src/fairlead/scaffold/files/deployment/ansible/library
	$(BIN)/python -m tools.house
	$(BIN)/python -m tools.opentofu.check

test: check    ## check, then every test, in random order, warnings as errors
	$(BIN)/pytest -n 3  # on two cores too: a third of the time is waiting for machines

demo: setup    ## a lab, and on it a release deployed, replaced under load, promoted, and a broken one rolled back; SMALL=1: 3 services, not 5
	$(BIN)/python -m demo $(if $(SMALL),--small)

demo-full: setup    ## the same on machines that OpenTofu makes: changed in place, destroyed outside, made again
	python3 tools/opentofu/build.py
	$(BIN)/python -m demo.full

faults: setup    ## try every cell of the kill matrix again, here and on a machine of the lab, and write its page; takes an hour
	$(BIN)/python -m tests.faults.matrix
	$(BIN)/python -m tests.faults.machine_matrix
	$(BIN)/python -m tools.docs

docs: setup    ## write the generated pages of docs/; DEMO=1 also records make demo anew, in minutes
	$(BIN)/python -m tools.docs $(if $(DEMO),--demo)

lock: setup    ## pin every dependency by hash, newest versions that fit
	$(LOCK) --upgrade pyproject.toml --output-file requirements/runtime.txt
	$(LOCK) --upgrade pyproject.toml --group dev --constraints requirements/runtime.txt --output-file requirements/dev.txt
	echo 'ansible-core==2.16.*' | $(LOCK) --upgrade - --output-file requirements/oldest-ansible.txt
