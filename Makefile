# `make demo` shows the gateway at work, `make test` runs every test. Both install what is missing where they may.
CARGO ?= cargo

.PHONY: demo test check deps bench compare

demo: deps
	$(CARGO) run --release --quiet -- demo

test: deps
	$(CARGO) test --workspace

check: deps
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

# Millions of cases, big bodies, long soaks: not for every change.
long: deps
	FRONTGATE_LONG=1 $(CARGO) test --release --workspace

compare: deps
	loadtest/compare

# A C compiler and cmake build the compression libraries that Pingora brings.
deps:
	@missing=""; \
	command -v cc >/dev/null 2>&1 || missing="$$missing gcc libc6-dev"; \
	command -v cmake >/dev/null 2>&1 || missing="$$missing cmake"; \
	command -v make >/dev/null 2>&1 || missing="$$missing make"; \
	command -v $(CARGO) >/dev/null 2>&1 || { echo "Rust is missing: install it from https://rustup.rs"; exit 1; }; \
	if [ -n "$$missing" ]; then \
		if [ "$$(id -u)" = 0 ]; then apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing; \
		elif command -v sudo >/dev/null 2>&1; then sudo apt-get update -qq && sudo DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing; \
		else echo "Missing:$$missing. Run: apt-get install$$missing"; exit 1; fi; \
	fi
