# Every target does its own set-up. A machine needs Rust (rustup), a C compiler and Python 3, and Java for the tests. As root on
# Debian or Ubuntu the targets install what is missing.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test lint instructions build release image sam-local deploy-local clients bench fuzz campaign mutants mutation-score coverage clean

# arm64 (the template's default) or x86_64
ARCH ?= arm64

help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Plays the whole story on simulators: no settings, no network, no AWS
	@cargo run --quiet --locked -- demo

test: ## Runs all tests, with DynamoDB Local and an SQS server (fetched once); LAMBDA_BINARIES names a folder with other functions
	@tools/setup
	@cargo test --locked --workspace

lint: ## Checks format, clippy, docs, dependencies, the template and its permissions
	@tools/lint

instructions: ## Counts the instructions of reading a delivery and of planning, and fails if there are more than recorded
	@tools/guard instructions

build: ## Builds the three Lambda zips in target/lambda (ARCH=arm64 or x86_64), and prints their sizes
	@tools/build $(ARCH)

release: ## Makes the files of a release in dist/, for both architectures or the one in ONLY
	@tools/release $(ONLY)

image: ## Plays dist/ in an empty Debian, then builds and plays the container image (needs dist/)
	@tools/image

sam-local: ## Builds with SAM and runs every sample in events/ in Docker, against the simulators
	@tools/sam-local

deploy-local: ## Deploys with SAM to an emulator of AWS that enforces IAM, and plays the whole stack (IAM=1: also without each permission)
	@tools/deploy-local $(if $(IAM),--iam)

clients: ## Plays a story with each official client of Okta and Anypoint on the simulators, and prints a table
	@tools/clients

bench: ## Measures time, calls and memory against the budgets
	@tools/setup
	@cargo bench --locked --no-fail-fast

fuzz: ## Fuzzes all input from outside: 10 seconds a target, or SECONDS
	@tools/fuzz $(or $(SECONDS),10)

campaign: ## Plays random histories with faults on every side, and prints figures: 120 seconds each, or SECONDS
	@tools/setup
	@cargo build --release --locked --no-default-features --bin hook --bin provision --bin schedule
	@LAMBDA_BINARIES="$${CARGO_TARGET_DIR:-$$PWD/target}/release" tools/campaign $(or $(SECONDS),120)

mutants: ## Plants defects one by one, and says whether the tests and checks notice
	@tools/setup
	@tools/lint-setup
	@tools/deploy-local
	@tools/mutants

mutation-score: ## Changes event, receiver, ledger, store and provision in every way that cargo-mutants knows; about two hours
	@tools/setup
	@tools/mutation-score

coverage: ## Prints which lines of src/ the tests run
	@tools/setup
	@tools/coverage

clean: ## Removes everything built or fetched
	@rm -rf target .aws-sam .tools
