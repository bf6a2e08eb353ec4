# Every target does its own set-up. What a machine must have: Rust (rustup), a C compiler, Python 3, Java for the tests;
# on Debian and Ubuntu, as root, what is missing is installed.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test lint build release image sam-local deploy-local clients bench fuzz campaign mutants mutation-score coverage clean

# arm64 (the template's default) or x86_64
ARCH ?= arm64

help: ## What can be made here
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## The whole story on simulators: no settings, no network, no AWS
	@cargo run --quiet --locked -- demo

test: ## All tests, on the release binaries, with DynamoDB Local and an SQS server that are fetched once
	@tools/setup
	@cargo build --release --locked --no-default-features --bin hook --bin provision --bin schedule
	@tools/guard instructions
	@LAMBDA_BINARIES="$${CARGO_TARGET_DIR:-$$PWD/target}/release" cargo test --locked --workspace

lint: ## Format, clippy, docs, dependencies, template and its permissions
	@tools/lint

build: ## The three Lambda zips in target/lambda (ARCH=arm64 or x86_64), with their sizes
	@tools/build $(ARCH)

release: ## Everything of a release in dist/, for both architectures or the one in ONLY
	@tools/release $(ONLY)

image: ## The container image, and dist/ in an empty Debian: both are built and played (needs dist/)
	@tools/image

sam-local: ## Builds with SAM and runs every sample in events/ in Docker, against the simulators
	@tools/sam-local

deploy-local: ## Deploys with SAM to an emulator of AWS, with permissions on, and plays the whole stack (IAM=1: without each permission)
	@tools/deploy-local $(if $(IAM),--iam)

clients: ## Plays a story with each official client of Okta and Anypoint on the simulators, and prints a table
	@tools/clients

bench: ## Time, calls and memory against the budgets
	@tools/setup
	@cargo bench --locked --no-fail-fast

fuzz: ## Fuzzes what comes from outside: 10 seconds a target, or SECONDS
	@tools/fuzz $(or $(SECONDS),10)

campaign: ## Plays random histories with faults at every remote, and prints figures: 120 seconds each, or SECONDS
	@tools/setup
	@cargo build --release --locked --no-default-features --bin hook --bin provision --bin schedule
	@LAMBDA_BINARIES="$${CARGO_TARGET_DIR:-$$PWD/target}/release" tools/campaign $(or $(SECONDS),120)

mutants: ## Plants defects one by one and sees whether the tests and checks notice; about half an hour
	@tools/setup
	@tools/lint-setup
	@tools/deploy-local
	@tools/mutants

mutation-score: ## Changes event, receiver, ledger, store and provision in every way that cargo-mutants knows; about two hours
	@tools/setup
	@tools/mutation-score

coverage: ## Which lines of src/ the tests run
	@tools/setup
	@tools/coverage

clean: ## Removes what was built and fetched
	@rm -rf target .aws-sam .tools
