# Everything runs in .venv, which the first target that needs it builds from requirements.lock: pins and hashes only.
.DEFAULT_GOAL := help
SHELL := /bin/bash -o pipefail
.SHELLFLAGS := -eu -c
.DELETE_ON_ERROR:
.PHONY: help setup demo test cluster cluster-down test-cluster kind-up kind-down lint docs lock bench clean

VENV := .venv
BIN := $(VENV)/bin
UV := env -u UV_PYTHON VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv
PYTHON ?= python3.11 python3.12 python3
ARGS ?=
# Each step of a pipeline is a process: without compiled modules each would compile torch anew.
unexport PYTHONDONTWRITEBYTECODE

help:  ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/installed  ## Build .venv (every other target does it by itself).

demo: setup  ## Play the whole story on this machine: train, shadow, canary, a bad revision, drift, retraining.
	@$(BIN)/fairway demo $(ARGS)

test: setup  ## Run the tests; ARGS go to pytest, such as ARGS='tests/config -x'.
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -m 'not cluster' $(ARGS)

# With KUBECONFIG set, the same tests run on that cluster, which must have a Gateway, Prometheus and our images: `make kind-up` sees to it.
test-cluster: setup  ## Run the tests that need Kubernetes, on a real cluster in namespaces of its own (root, Debian, Go).
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(if $(KUBECONFIG),,$(BIN)/python -m tests.cluster run --) $(BIN)/python -m pytest -m cluster $(ARGS)

cluster: setup  ## Bring that cluster up and leave it running, with Envoy Gateway and Prometheus.
	@$(BIN)/python -m tests.cluster up

cluster-down: setup  ## End it.
	@$(BIN)/python -m tests.cluster down

kind-up: setup  ## Bring a kind cluster up with everything on it and a model in service (docker or podman, kind, kubectl, helm).
	@$(BIN)/python -m manifests.kind up $(ARGS)

kind-down: setup  ## End it.
	@$(BIN)/python -m manifests.kind down $(ARGS)

lint: setup  ## Check style, types, import contracts and that the generated pages are up to date.
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check .
	@$(BIN)/mypy --strict
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python docs/generate.py --check

docs: setup  ## Write the generated pages under docs/.
	@$(BIN)/python docs/generate.py

bench: setup  ## Measure and write docs/benchmarks.md and the figures of docs/judge.md and docs/drift.md.
	@$(BIN)/python -m benchmarks $(ARGS)
	@$(BIN)/python -m benchmarks.judge $(ARGS)
	@$(BIN)/python -m benchmarks.drift $(ARGS)

# The old lock is the preference: versions stay unless ARGS=--upgrade (or --upgrade-package NAME). hatchling and editables build the
# project itself, so that nothing unpinned is fetched; uv is what the next set-up installs with. Seldon's wrapper has an environment of its own, and
# two of its caps are lifted: click for our command line, prometheus-client for gauges of several processes; so has the S3 server of the cluster's tests.
lock: setup  ## Resolve pyproject.toml into requirements.lock.
	@printf 'hatchling\neditables\nuv\n' | $(UV) pip compile pyproject.toml - --extra dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' --quiet --output-file requirements.lock $(ARGS)
	@printf 'seldon-core==1.17.1\nsetuptools<81\nonnxruntime>=1.20\norjson>=3.10\n' | $(UV) pip compile pyproject.toml - --extra s3 \
	  --override <(printf 'click>=8.1\nprometheus-client>=0.21\n') --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --custom-compile-command 'make lock' --quiet --output-file requirements-seldon.lock $(ARGS)
	@printf 'moto[s3,server]\n' | $(UV) pip compile - --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --custom-compile-command 'make lock' --quiet --output-file tests/cluster/s3.lock $(ARGS)
	@printf 'mlflow-skinny\naiohttp\nalembic\ncryptography\nflask\nflask-cors\ngraphene\nhuey\nnumpy\nonnx\nonnxruntime\npandas\nsqlalchemy\n' | $(UV) pip compile - --universal \
	  --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' --quiet \
	  --output-file tests/packaging/mlflow.lock $(ARGS)
	@if grep -n '://' requirements.lock requirements-seldon.lock tests/cluster/s3.lock tests/packaging/mlflow.lock; then echo 'a lock names an address: wanted pins and hashes only'; exit 1; fi

clean:  ## Remove .venv, caches and the demo's report (never .fairway: it holds your models).
	@rm -rf $(VENV) .mypy_cache .ruff_cache .import_linter_cache .hypothesis .pytest_cache build dist fairway-demo
	@find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# -- set-up: uv itself comes from the lock too ----------------------------------------------------------------------------

$(VENV)/installed: $(VENV)/locked pyproject.toml src/fairway/__init__.py
	@$(UV) pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/locked: requirements.lock $(BIN)/uv
	@echo "installing $$(grep -c '==' requirements.lock) packages into $(VENV) (a few gigabytes on the first run)"
	@$(UV) pip sync --quiet --compile-bytecode --require-hashes --build-constraints requirements.lock requirements.lock
	@touch $@

$(BIN)/uv:
	@for python in $(PYTHON); do \
	  if $$python -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$${found:-}" ]; then \
	  echo 'make: there is no Python 3.11 or 3.12 with venv on PATH: install one (Debian: apt-get install python3.11-venv) and run make again' >&2; exit 1; \
	fi; \
	$$found -m venv $(VENV)
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > $(VENV)/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $(VENV)/uv.txt
