# The commands of this project. `make` alone lists them.

SHELL       := /bin/bash
CLUSTER     := e2e/cluster/cluster
KUBECONFIG_ := $(CURDIR)/target/cluster/kubeconfig

.DEFAULT_GOAL := help
.PHONY: help demo demo-down test test-large lint test-unit test-api test-e2e test-faults test-oldest fuzz mutants bench bench-http generate sbom cluster cluster-down image run

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## See it work: a real single-node Kubernetes, the chart installed there from the image, and sample tasks followed live. CONTEXT=name uses a cluster of yours, IMAGE=name:tag an image that it can pull.
	@e2e/demo

demo-down: ## Uninstall the demo, and take its node down.
	@e2e/demo down

test: ## Everything: format, lints, unit and property tests, tests against a real API server and real databases, on a real node, and on one that breaks.
	@tests/run all

test-large: ## Property tests, the simulation, arbitrary objects, backlogs, floods, warm workers and an archive at full size, and test-oldest (more than two hours). PROPTEST_CASES, FUZZ_OBJECTS, WAITING_TASKS, FLOOD_TASKS, FLOOD_WORKERS, POOL_TASKS, WARM_TASKS and ARCHIVE_RECORDS say how many.
	@tests/run large

lint: ## Format, lints, and the licences, sources and advisories of all dependencies, alone.
	@tests/run lint

test-unit: ## Unit and property tests alone.
	@tests/run unit

test-api: ## Tests against a real etcd and kube-apiserver, and of the archive on SQLite and PostgreSQL, alone.
	@tests/run api

test-e2e: ## Tests on a real node alone (as root).
	@tests/run e2e

test-faults: ## Tests of a node, an API server and an etcd that break, alone (as root).
	@tests/run faults

test-oldest: ## Tests against the API server of the oldest Kubernetes that is supported, alone.
	@tests/run oldest

fuzz: ## Arbitrary objects and JSON for longer than `make test` does it. FUZZ_OBJECTS=500000 says how many.
	@FUZZ_OBJECTS="$${FUZZ_OBJECTS:-500000}" tests/run fuzz

mutants: ## Mutation testing of src/core: at least 90 % of small changes must be noticed by a test. Takes more than an hour; ARGS="--shard 0/8" for a part.
	@tests/mutants $(ARGS)

bench: ## What it costs: admission, requests, memory, latency, and throughput beside plain Jobs and Kueue; as root, of warm workers on a real node too (about 30 minutes, the first time 15 more).
	cargo bench --locked --bench admission
	@$(CLUSTER) build --control-plane --with kcm,scheduler,kwok,kueue
	@[ "$$(id -u)" != 0 ] || { $(CLUSTER) packages && $(CLUSTER) build; }
	cargo build --release --locked -p task-manager -p bench
	target/release/bench

bench-http: ## What REST costs: submissions beside creations at the API server, statuses at rest and under load (about 6 minutes).
	@$(CLUSTER) build --control-plane --with kcm,scheduler,kwok
	cargo build --release --locked -p task-manager -p bench
	VEGETA="$$(bench/vegeta)" target/release/bench http

sbom: ## The bill of materials of the binary that is shipped, as CycloneDX JSON in target/sbom. ARGS=aarch64-unknown-linux-gnu for another target.
	@tests/sbom $(ARGS)

generate: ## Write crds/, docs/reasons.md, the tables of rights in docs/, the chart's copies and README, and manifests/install.yaml.
	cargo run --quiet -- crd --dir crds
	cargo run --quiet -- reasons > docs/reasons.md
	cargo build --quiet --workspace --bin rights-table && target/debug/rights-table
	@charts/generate

image: ## Build the operator's image without Docker (ARCH=arm64 for the other architecture), and load it into the local node, if it runs.
	@image/build $(ARCH)
	@! $(CLUSTER) status >/dev/null 2>&1 || [ -n "$(ARCH)" ] || $(CLUSTER) load target/image/task-manager.tar

cluster: ## Bring up a local Kubernetes node for experiments (as root).
	@$(CLUSTER) packages
	@$(CLUSTER) build
	@$(CLUSTER) up

cluster-down: ## Take the local node down.
	@$(CLUSTER) down

run: ## Install CRDs and policies, and run the operator against KUBECONFIG, else against the local node.
	@export KUBECONFIG="$${KUBECONFIG:-$(KUBECONFIG_)}" && export PATH="$(CURDIR)/target/cluster/bin:$$PATH" \
	TASK_MANAGER_ARCHIVE="$${TASK_MANAGER_ARCHIVE:-sqlite:target/archive.db}" \
	&& kubectl apply --server-side --force-conflicts -f crds -f manifests/policies && cargo run --quiet -- run
