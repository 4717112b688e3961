# Everything that a contributor or a curious stranger runs. `make help` lists it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TOOLS := .tools
SBOM := $(TOOLS)/sbom/bin/cyclonedx-py
CHECKOV := $(TOOLS)/checkov/bin/checkov
FUZZER := $(TOOLS)/fuzzer/bin/python
INPUTS ?= 100000
HOURS ?= 1
UV := $(or $(shell command -v uv),$(BIN)/uv)

PIN := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url

# Tests call servers on this machine, which no proxy reaches.
export NO_PROXY := $(or $(no_proxy),$(NO_PROXY)),127.0.0.1,localhost
export no_proxy := $(NO_PROXY)

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(BIN)/uv: requirements/uv.txt | $(BIN)/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

$(STAMP): pyproject.toml requirements/dev.txt | $(BIN)/python $(UV)
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes --compile-bytecode -r requirements/dev.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q refresher
	@touch $@

.PHONY: install
install: $(STAMP) ## Install everything into .venv from hashed requirement files.

.PHONY: demo
demo: $(STAMP) ## Show the main job on the embedded emulator (30 s at most).
	@$(BIN)/refresher demo

.PHONY: test
test: $(STAMP) ## Run the tests (REQUIRE_TOOLS=1: a missing tool fails them).
	@$(BIN)/python -m pytest -n auto --dist loadgroup --ignore=tests/clients --ignore=tests/installed -m "not apart"

.PHONY: test-unit
test-unit: $(STAMP) ## Run the unit and property tests without the slow ones, in seconds.
	@$(BIN)/python -m pytest -n auto -m "not slow" tests/unit tests/property

.PHONY: coverage
coverage: $(STAMP) ## Measure the branch coverage of the pure rooms; fail below the floor in pyproject.toml.
	@$(BIN)/python -m coverage run -m pytest -q -n auto -m "not slow" tests/unit tests/property
	@$(BIN)/python -m coverage combine -q
	@$(BIN)/python -m coverage report

.PHONY: test-containers
test-containers: $(STAMP) ## Run the daemon against real containers (podman, and plain namespaces).
	@$(BIN)/python -m pytest -n auto tests/containers

.PHONY: test-namespaces
test-namespaces: $(STAMP) ## Serve ten thousand network namespaces that come and go, as root; nothing may be left of them.
	@NAMESPACES=$(or $(NAMESPACES),10000) REQUIRE_TOOLS=1 $(BIN)/python -m pytest tests/e2e/test_metadata_leaks.py

.PHONY: test-clients
test-clients: $(STAMP) ## Run real clients of every language through the same scenarios (installs them from their registries).
	@$(BIN)/python -m tests.clients.install
	@$(BIN)/python -m pytest -n auto --dist loadfile tests/clients

.PHONY: clients
clients: $(STAMP) ## Run the clients and write the tables in docs/clients.md again.
	@$(BIN)/python -m tests.clients.table

.PHONY: soak
soak: $(STAMP) ## Run all long-lived clients side by side, with files and with endpoints, ten minutes each (SOAK=60: one).
	@$(BIN)/python -m tests.clients.soak
	@$(BIN)/python -m tests.clients.metadata_soak

.PHONY: test-installed
test-installed: $(STAMP) ## Run the tests with an OpenID provider, a Kubernetes API server and programs installed from their registries.
	@$(BIN)/python -m tests.installed.install
	@$(BIN)/python -m pytest tests/installed

.PHONY: cluster
cluster: $(STAMP) ## Build what the cluster of the tests consists of, once (Go; about five minutes on two idle cores).
	@$(BIN)/python -m tests.cluster.install

.PHONY: test-cluster
test-cluster: cluster ## Run pods on a real node of Kubernetes (root, podman, containerd, etcd, kubectl).
	@$(BIN)/python -m pytest tests/cluster

.PHONY: test-terraform
test-terraform: $(STAMP) ## Run the Terraform tests alone (REFRESHER_TEST_PROVIDER_MIRROR: with the real provider).
	@$(BIN)/python -m pytest -n auto tests/terraform

$(CHECKOV): requirements/scan.txt | $(BIN)/python $(UV)
	@$(UV) venv --quiet --allow-existing --python $(BIN)/python $(TOOLS)/checkov
	@$(UV) pip install --quiet --python $(TOOLS)/checkov/bin/python --require-hashes -r requirements/scan.txt
	@touch $@

.PHONY: scan
scan: $(STAMP) $(CHECKOV) ## Scan the Terraform modules with checkov, in an environment of its own.
	@$(BIN)/python -m tests.terraform.scan $(CHECKOV)

.PHONY: dist
dist: $(STAMP) ## Build the wheel and the source distribution into dist/.
	@rm -rf dist
	@$(BIN)/python -m hatchling build --directory dist

.PHONY: deb
deb: $(STAMP) ## Build the Debian package into build/packages, for the release of this machine (apt install debhelper).
	@configs/debian/build $(UV) $(BIN)/python

.PHONY: test-packages
test-packages: $(STAMP) ## Test the Debian package, the image and the bill of materials (podman, mmdebstrap, debhelper).
	@$(BIN)/python -m pytest tests/packages

$(SBOM): requirements/sbom.txt | $(BIN)/python $(UV)
	@$(UV) venv --quiet --allow-existing --python $(BIN)/python $(TOOLS)/sbom
	@$(UV) pip install --quiet --python $(TOOLS)/sbom/bin/python --require-hashes -r requirements/sbom.txt
	@touch $@

.PHONY: sbom
sbom: dist $(SBOM) ## Write the bill of materials of what a worker runs, with all licences, into build/sbom (CycloneDX).
	@rm -rf build/sbom && mkdir -p build/sbom
	@$(UV) venv --quiet --python $(BIN)/python build/sbom/environment
	@$(UV) pip install --quiet --python build/sbom/environment/bin/python --require-hashes -r requirements/runtime.txt
	@$(UV) pip install --quiet --python build/sbom/environment/bin/python --no-deps dist/*.whl
	@$(SBOM) environment --output-reproducible --gather-license-texts --pyproject pyproject.toml \
		--output-file build/sbom/wif-refresher.cdx.json build/sbom/environment/bin/python
	@$(BIN)/python -m tests.packages.licences build/sbom/environment/lib/python3*/site-packages > build/sbom/LICENCES.txt
	@rm -rf build/sbom/environment

.PHONY: kubernetes
kubernetes: $(STAMP) ## Write the plain manifests of configs/kubernetes again, from the chart (go).
	@$(BIN)/python -m tests.installed.chart

.PHONY: test-wheel
test-wheel: dist ## Test the built wheel in clean environments, as users install it.
	@PYTHON=$(PYTHON) .ci/wheel dist

.PHONY: lint
lint: $(STAMP) ## Check style, types and who imports whom.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@! git grep -nE '^(<{7}|>{7}) ' || { echo "merge conflicts are left: see above"; exit 1; }

.PHONY: format
format: $(STAMP) ## Format the code.
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: bench
bench: $(STAMP) ## Measure ratios side by side and write bench-results.json.
	@$(BIN)/python -m compileall -q refresher
	@$(BIN)/python tests/bench/run.py

.PHONY: performance
performance: $(STAMP) ## Measure growth and peers, and write docs/performance.md (a quarter of an hour, on a quiet machine).
	@$(BIN)/python -m compileall -q refresher
	@$(BIN)/python -m tests.bench.performance

.PHONY: endurance
endurance: $(STAMP) ## Run all clients for an hour next to a thousand targets, and show what grows (HOURS=0.1).
	@$(BIN)/python -m tests.bench.endurance $(HOURS)

.PHONY: crash
crash: $(STAMP) ## End the program before each system call, and let each call fail with each error, in some minutes.
	@$(BIN)/python -m tests.faults.crash_points

MINUTES ?= 1
.PHONY: simulate
simulate: $(STAMP) ## Run the daemon on a simulated machine, from fresh seeds, on all cores (MINUTES=10: for ten minutes).
	@$(BIN)/python -m tests.simulation --minutes $(MINUTES)

.PHONY: simulate-ci
simulate-ci: $(STAMP) ## Run all seeds that ever failed, then fresh ones for five minutes.
	@$(BIN)/python -m tests.simulation --failed
	@$(BIN)/python -m tests.simulation --minutes 5

.PHONY: mutants
mutants: $(STAMP) ## Plant bugs in copies of the tree, and show that the simulation finds each.
	@$(BIN)/python -m tests.simulation.mutants

.PHONY: fuzz
fuzz: $(STAMP) ## Send the emulator malformed requests until 100,000 were refused.
	@$(BIN)/python -m tests.fuzz.run

$(FUZZER): requirements/emulator.txt requirements/fuzzer.txt | $(BIN)/python $(UV)
	@$(UV) venv --quiet --allow-existing --python $(BIN)/python $(TOOLS)/fuzzer
	@$(UV) pip install --quiet --python $@ --require-hashes -r requirements/emulator.txt -r requirements/fuzzer.txt
	@touch $@

.PHONY: fuzz-readers
fuzz-readers: $(STAMP) $(FUZZER) ## Search for files and messages that a reader does not bear, guided by coverage (INPUTS=1000000).
	@$(FUZZER) -m tests.fuzz.guided --inputs $(INPUTS)

.PHONY: schema
schema: $(STAMP) ## Write configs/schema.json again.
	@$(BIN)/refresher schema > configs/schema.json

.PHONY: docs
docs: schema ## Write the schema, and what is generated in the guides and the READMEs of the Terraform modules, again.
	@$(BIN)/python -m tests.docs.reference
	@$(BIN)/python -m tests.docs.terraform_reference

.PHONY: manual
manual: $(STAMP) ## Write the manual pages and the completions of shells into build/manual.
	@$(BIN)/python -m tests.docs.manual build/manual

.PHONY: requirements
requirements: | $(UV) ## Pin the requirement files again; keeps versions that still fit.
	@for set in "runtime" "emulator --extra emulator" "dev --extra emulator --group dev"; do \
		name=$${set%% *}; options=$${set#"$$name"}; \
		$(PIN) $$options pyproject.toml --output-file requirements/$$name.txt || exit 1; \
	done
	@echo uv | $(PIN) - --output-file requirements/uv.txt
	@echo 'checkov>=3.2' | $(PIN) - --output-file requirements/scan.txt
	@echo 'cyclonedx-bom==7.*' | $(PIN) - --output-file requirements/sbom.txt
	@echo 'atheris==3.0.*' | $(PIN) - --output-file requirements/fuzzer.txt
	@$(PIN) tests/clients/python/requirements.in --output-file tests/clients/python/requirements.txt

.PHONY: clean
clean: ## Remove what the targets above created.
	@rm -rf $(VENV) $(TOOLS) .mypy_cache .ruff_cache .hypothesis .coverage dist build bench-results.json tests/installed/.cache
