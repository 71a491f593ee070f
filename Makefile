# Everything a developer does. "make" alone lists it.
.DEFAULT_GOAL := help
.PHONY: help dev build test unit fuzz lint bench bench-relay chaos hooks generate clean

PKGS ?=
BENCH ?=
CHAOS ?=

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

dev: ## run the server with everything embedded, data in ./data, chatty log
	FLUENTPRO_DATA_DIR=data FLUENTPRO_LOG_LEVEL=debug go run ./cmd/fluentpro

build: ## build bin/fluentpro, static, as the image does
	CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o bin/fluentpro ./cmd/fluentpro

test: ## run every test with real Redis, Postgres and Chromium; installs what is missing
	@scripts/test.sh $(PKGS)

unit: ## run the tests that need Go alone
	go test ./...

fuzz: ## fuzz every target for FUZZTIME (60s) each (PKGS=./sessions/... for some)
	@scripts/fuzz.sh $(PKGS)

lint: ## check format, vet, linters, module file and scripts
	@scripts/lint.sh

bench: ## run the benchmarks of the packages (PKGS=./streaming/... for some)
	go test -run '^$$' -bench . -benchmem $(or $(PKGS),./...)

bench-relay: ## measure a running server beside a bare relay, idle memory, kills
	@scripts/bench.sh $(BENCH)

chaos: ## break nodes, Redis and SQL under load and check what is promised (CHAOS=--short)
	@scripts/bench.sh chaos $(CHAOS)

hooks: ## have git run make lint before each commit
	git config core.hooksPath scripts/hooks

generate: ## write anew what is made from code
	go generate ./...
	go test ./internal/importrules -run TestTheLinterHasTheSameRules -update

clean: ## remove what make has built
	rm -rf bin .tools/coverage.out
