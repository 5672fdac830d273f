# Every command of the project. `make help` lists them; `make demo` and `make test` are the two that matter first.
SHELL := /bin/bash -o pipefail
.DEFAULT_GOAL := help
.PHONY: help install demo test unit component integration e2e soak soak-faults soak-rights soak-rest soak-steps soak-redactor soak-properties soak-subjects soak-ha soak-sidecar soak-e2e soak-engines soak-scaling lab-up lab-down lab-status images lint fmt generate golden verify dockerfiles set-up bench-accelerators bench-autoscale bench-fleet bench-gates bench-redactor bench-rollout bench-sidecar clean

CLUSTER ?= lab
REGISTRY ?=
ACCELERATOR ?=
# The package manager: the one on PATH, else a pinned one of our own.
UV := $(or $(shell command -v uv),.cache/uv/bin/uv)
PY := .venv/bin/python
PYTEST := $(PY) -m pytest
LAB := $(PY) -m tests.lab
export UV_PROJECT_ENVIRONMENT := .venv
export PYTHONDONTWRITEBYTECODE :=

help: ## List the commands
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Use
demo: .venv/synced ## From nothing to an answered request: cluster, operator, model, a prompt change (CLUSTER=lab|kind|current)
	@$(PY) -m tests.lab.demo --cluster $(CLUSTER) --registry "$(REGISTRY)" --accelerator "$(ACCELERATOR)"

##@ Test
test: install ## From nothing to a green suite; says how long each tier took
	@hack/tier set-up 18 $(MAKE) --no-print-directory set-up
	@hack/tier unit 1 $(MAKE) --no-print-directory unit
	@hack/tier component 2 $(MAKE) --no-print-directory component
	@hack/tier integration 12 $(MAKE) --no-print-directory integration
	@hack/tier e2e 35 $(MAKE) --no-print-directory e2e

set-up: .venv/synced
	@$(PY) -m tests.lab.prepare

unit: .venv/synced ## Tests of functions and small parts by example; core covered by branch
	@$(PYTEST) tests/unit -q -n 3 --dist worksteal -m "not component and not hypothesis" --cov --cov-report=term

component: .venv/synced ## Whole parts: the operator in a simulated cluster, the sidecar over its sockets, and every property
	@$(PYTEST) tests/unit -q -n 3 --dist worksteal -m "component or hypothesis"

integration: .venv/synced ## Tests against a real API server and a real S3, and programs by themselves (no root, no kubelet)
	@$(LAB) build cp kwok helm gateway keda
	@$(PY) -m tests.lab.prometheus
	@hack/integration

e2e: set-up ## Tests on a real node with real pods (root)
	@$(PYTEST) tests/e2e/test_lab.py
	@hack/with-lab full hack/e2e

soak: soak-faults soak-rights soak-rest soak-steps soak-redactor soak-properties soak-subjects soak-ha soak-sidecar soak-e2e soak-engines soak-scaling ## Long tests; most write their result to bench/results

soak-faults: .venv/synced ## Every fault plan, the outages of ten minutes as well
	@$(LAB) build cp kwok helm
	@rm -f .cache/faults.jsonl
	@hack/with-lab control-plane $(PY) -m tests.lab.faults sweep --journal $(CURDIR)/.cache/faults.jsonl
	@hack/with-lab control-plane $(PY) -m tests.lab.faults sweep --long --lanes 6 --journal $(CURDIR)/.cache/faults.jsonl

soak-rights: .venv/synced ## Each right of the chart taken away alone
	@$(LAB) build cp kwok helm
	@RIGHTS=all hack/with-lab control-plane $(PYTEST) tests/integration/rights -p no:randomly -s

soak-rest: .venv/synced ## Five minutes at rest
	@$(LAB) build cp kwok helm
	@REST_S=300 hack/with-lab control-plane $(PYTEST) tests/integration/test_rest.py -p no:randomly

soak-steps: .venv/synced ## Twenty steps of load: how soon more pods are asked for
	@$(LAB) build cp kwok helm
	@AUTOSCALE_STEPS=20 hack/with-lab control-plane $(PYTEST) tests/integration/test_autoscaling.py -p no:randomly

soak-ha: .venv/synced ## A leader stopped, killed, paused and cut off, twenty times each
	@$(LAB) build cp kwok helm
	@HA_ROUNDS=20 hack/with-lab control-plane $(PYTEST) tests/integration/faults/test_leadership.py -p no:randomly

soak-redactor: .venv/synced ## Texts cut anywhere, 20,000 and more: redacted as the whole, and each simpler way found out
	@REDACTOR_CASES=2500 $(PYTEST) tests/unit/sidecar/redact tests/unit/sidecar/test_json_text.py -q

soak-properties: .venv/synced ## Every property on forty times the examples, and new ones each time
	@PROPERTIES_TIMES=40 $(PYTEST) tests/unit -m hypothesis -q -n 2 --timeout 3000

soak-subjects: .venv/synced ## 2,000 subjects over HTTP on a ramp, and 20,000 over twenty ramps of up to four arms
	@SUBJECTS=2000 RAMPS=20 $(PYTEST) tests/unit/sidecar/test_shares.py tests/unit/sidecar/http/test_subjects.py -q

soak-sidecar: .venv/synced ## The sidecar for ten minutes at 80 % of what it can carry, while everything around it changes
	@hack/with-figures soak-sidecar $(PYTEST) tests/e2e/test_long_run.py -p no:randomly -s

soak-e2e: set-up ## Children, delivery, prompts by steps and an operator upgrade on a real node, with the plan's times
	@LLM_LAB_DIR=$(CURDIR)/.cache/lab-soak hack/with-lab full hack/soak-e2e e2e

soak-engines: set-up ## Changes of the engine on a real node with the plan's times, by steps under load for stub engines and for real ones
	@LLM_LAB_DIR=$(CURDIR)/.cache/lab-soak hack/with-lab full hack/soak-e2e engines

soak-scaling: set-up ## Steps of load, a restarted operator and a thousand requests from zero on a real node, with the plan's times
	@LLM_LAB_DIR=$(CURDIR)/.cache/lab-soak hack/with-lab full hack/soak-e2e scaling

##@ Bench
bench-accelerators: .venv/synced ## Accelerators at the peak of a change of the engine, by mode and replicas, and a picture of them
	@$(LAB) build cp kwok helm
	@LLM_LAB_DIR=$(CURDIR)/.cache/lab-bench hack/with-lab control-plane $(PY) -m bench.accelerators
	@$(PY) -m bench.accelerator_picture

bench-autoscale: .venv/synced ## Real traces replayed against simulated engines, under our scaling and that of others
	@OMP_NUM_THREADS=1 $(PY) -m bench.autoscale

bench-fleet: .venv/synced ## 1,000 LLMDeployments at 5 a second: times, requests, CPU, memory (FLEET_CRS=200 for a quick run)
	@$(LAB) build cp kwok helm
	@GOGC=400 LLM_LAB_DIR=$(CURDIR)/.cache/lab-bench hack/with-lab control-plane $(PY) -m bench.fleet

bench-sidecar: .venv/synced .cache/bench/load .cache/bench/upstream ## What the sidecar adds to a request and an event, against Envoy (SIDECAR_ROUNDS=1 for a quick look)
	@UV=$(UV) $(PY) -m bench.sidecar

.cache/bench/%: bench/sidecar/%.c bench/sidecar/common.h
	@mkdir -p $(@D)
	@$(CC) -O2 -std=gnu17 -Wall -Wextra -Werror -o $@ $<

bench-gates: .venv/synced ## 10,000 rollouts of equal arms and more: how often gates are wrong, how soon right (GATES_RUNS=25 for a quick look)
	@OMP_NUM_THREADS=1 $(PY) -m bench.gates

bench-rollout: set-up ## Prompts and engines let in by steps on a real node: what they and bad ones cost (ROLLOUTS=config, engine or borrow for one)
	@LLM_LAB_DIR=$(CURDIR)/.cache/lab-bench hack/with-lab full $(PY) -m bench.rollout $(ROLLOUTS)

bench-redactor: .venv/synced ## Exact redaction of a stream: cost a chunk, against the naive way, and what is kept back
	@$(PY) -m bench.redactor

##@ Lab
lab-up: .venv/synced ## Start the cluster alone
	@$(LAB) up

lab-down: .venv/synced ## Stop the cluster and leave nothing behind
	@$(LAB) down

lab-status: .venv/synced ## Say what of the cluster is running
	@$(LAB) status

images: .venv/synced ## Build the container images of the lab
	@$(PY) -m tests.lab.images build

##@ Develop
install: .venv/synced ## Make the locked environment

.cache/uv/bin/uv:
	@python3 -m venv .cache/uv && .cache/uv/bin/pip install -q --require-hashes -r hack/uv.txt

.venv/synced: pyproject.toml uv.lock | $(filter .cache/%,$(UV))
	@$(UV) sync --frozen --all-extras --quiet
	@touch $@

lint: .venv/synced ## Ruff, mypy, import rules, Dockerfiles
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --config .importlinter
	@.venv/bin/hadolint images/*/Dockerfile

fmt: .venv/synced ## Format and apply safe fixes
	@.venv/bin/ruff check --fix-only -q . && .venv/bin/ruff format -q .

generate: .venv/synced ## CRDs, the chart's copies, RBAC rules, reference docs, pictures
	@$(PY) -m llm_operator.api.generate
	@$(PY) hack/generate_rbac.py
	@$(PY) hack/generate_cli.py
	@$(PY) -m bench.accelerator_picture

golden: .venv/synced ## Rewrite the golden manifests of the renderers
	@UPDATE_GOLDEN=1 $(PYTEST) tests/unit/core -q

verify: generate ## Fail when a generated file or the lock is not what its source says
	@git diff --exit-code --stat -- crds charts docs/reference docs/explanation/*.svg || { echo 'generated files differ: commit what `make generate` wrote' >&2; exit 1; }
	@test -z "$$(git ls-files --others --exclude-standard -- crds charts docs/reference)" || { echo 'generated files are not committed' >&2; exit 1; }
	@$(UV) lock --check --quiet

dockerfiles: .venv/synced ## Build the Dockerfiles with buildah and compare them with the lab's images (root)
	@$(PY) -m tests.lab.images.buildah

clean: ## Remove the environment and every cache
	@rm -rf .venv .cache
