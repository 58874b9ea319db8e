# The one surface of commands; `make help` lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run test lint openapi faults spec binary system

# What the tests run is what `cargo test` has built: the features of the tests' own dependencies count among those of the
# binary's, so that `cargo build` after `cargo test` would build half of everything anew.
export SCRM_GATEWAY_BIN ?= $(abspath $(or $(CARGO_TARGET_DIR),target))/debug/scrm-gateway

help: ## List the commands
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

run: ## Run the gateway over both simulated sources; prints an address, a token and a curl line
	cargo run --release --locked -- demo

test: system ## Run all tests, those in a real browser too; installs what they need
	cargo test --locked
	tests/tools/install.sh node tests/browser
	node --test --test-reporter=spec tests/browser/*.test.mjs

lint: ## Check the form, the lints and the documentation of the code
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings
	cargo clippy --all-targets --locked --no-default-features -- -D warnings
	RUSTDOCFLAGS='-D warnings -A rustdoc::private_intra_doc_links' cargo doc --no-deps --document-private-items --locked

openapi: ## Regenerate openapi/openapi.json and its examples
	RECORD_EXAMPLES=1 cargo test --locked --quiet --test api -- examples:: --skip document::
	cargo run --locked --quiet -- openapi > openapi/openapi.json.new
	mv openapi/openapi.json.new openapi/openapi.json

faults: ## Write docs/faults.md anew: what callers see of every fault of the sources
	SCRM_WRITE_FAULTS=1 cargo test --locked --test api fault_matrix

spec: system binary ## Lint the OpenAPI document, compile a client of it, and hold the service against it
	tests/tools/install.sh node tests/spec
	tests/spec/lint.sh
	tests/client/run.sh
	folder=$$(tests/tools/install.sh venv tests/spec/requirements.txt); node tests/spec/schemathesis.mjs "$$folder"

binary:
	cargo test --locked --no-run --quiet

system:
	@tests/tools/install.sh system

include mk/*.mk
