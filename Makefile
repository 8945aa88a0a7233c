# The tasks that people, the README and CI call. Everything lives in .venv; the first target that needs it makes it.
SHELL := bash
PY := .venv/bin/python
STAMP := .venv/.reelgate-setup
BUF := node_modules/.bin/buf

.PHONY: setup demo test check protos bench clean
.DEFAULT_GOAL := help

help: ## what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMP) ## install everything into .venv

$(STAMP): pyproject.toml scripts/setup.sh
	@scripts/setup.sh

demo: $(STAMP) ## one real prompt to an MP4, both services on the embedded model
	@.venv/bin/reelgate demo

test: $(STAMP) ## every test
	@$(PY) -m pytest -q

check: $(STAMP) $(BUF) ## format, lint, types, stale stubs, contract, compose file
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@$(PY) -m pytest -q tests/test_stubs.py
	@$(BUF) lint
	@.venv/bin/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml

protos: $(STAMP) ## write the stubs anew
	@scripts/protos.sh

bench: $(STAMP) ## every benchmark, quickly
	@for f in prompts preprocess bart embedded_bart embedded engine engine_schedule engine_text estimates abnormal gpu gpu_parallel; do echo "== $$f"; $(PY) benchmarks/$$f.py --quick || exit 1; done

$(BUF): package.json
	@command -v npm >/dev/null 2>&1 || { apt-get update -qq && apt-get install -y -qq npm; }
	@npm install --silent --no-fund --no-audit --no-package-lock
	@touch $(BUF)

clean: ## remove what the targets made
	@rm -rf .venv node_modules .pytest_cache .mypy_cache .ruff_cache
