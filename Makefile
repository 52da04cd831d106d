# `make demo` shows the gateway at work, `make test` runs every test, `make check` formats and lints, `make bench` measures the filters,
# `make dist` makes what is released, `make deb` a Debian package of it. As root they install a missing C compiler or cmake; otherwise they say what to install.
CARGO ?= cargo
# What `make dist` strips; for example target/pgo/release/frontgate after loadtest/pgo.
BINARY ?= target/release/frontgate
TARGET := $(or $(CARGO_TARGET_DIR),target)
# What is built in: everything. With `make FEATURES= …` what needs protoc is left out.
FEATURES ?= full
BUILT = $(addprefix --features frontgate/,$(FEATURES))

.PHONY: demo test check long soak bench compare dist deb package deps

# Quickly: of what is optional with sagas alone.
demo: FEATURES = saga
demo: deps
	@[ -x $(TARGET)/demo/frontgate ] || echo "The first build takes about three minutes on two cores."
	$(CARGO) run --profile demo $(BUILT) -- demo

# Both run to their end, whatever fails.
test: deps
	@failed=0; \
	$(CARGO) test --workspace $(BUILT) --tests --no-fail-fast || failed=1; \
	$(CARGO) test --workspace $(BUILT) --doc --no-fail-fast || failed=1; \
	exit $$failed

check: deps
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace $(BUILT) --all-targets -- -D warnings

# Millions of cases, big bodies, long soaks, bounds of time: not for every change, and for a machine that has nothing else to do.
long: deps
	FRONTGATE_LONG=1 $(CARGO) test --release --workspace $(BUILT) --no-fail-fast

bench: deps
	$(CARGO) bench --workspace --bench '*'

# An hour of everything at once.
soak: deps
	FRONTGATE_SOAK=60 $(CARGO) test --release --workspace $(BUILT) --test integration soak:: -- --nocapture

compare: deps
	loadtest/compare

# The binary without symbols, and beside it what a debugger and a backtrace need.
dist: deps
	@[ "$(BINARY)" != target/release/frontgate ] || $(CARGO) build --release $(BUILT) --bin frontgate --target-dir target
	mkdir -p target/dist
	objcopy --only-keep-debug --compress-debug-sections $(BINARY) target/dist/frontgate.debug
	objcopy --strip-all $(BINARY) target/dist/frontgate
	cd target/dist && objcopy --add-gnu-debuglink=frontgate.debug frontgate
	@ls -l target/dist

# A Debian package: target/debian/frontgate_*.deb. cargo-deb is had by `cargo install cargo-deb --locked`.
deb: deps
	@command -v cargo-deb >/dev/null 2>&1 || { echo "Missing: cargo-deb. To install it: $(CARGO) install cargo-deb --locked"; exit 1; }
	$(CARGO) build --release $(BUILT) --bin frontgate
	$(MAKE) package BINARY=$(TARGET)/release/frontgate PROFILE=release

# The same of a binary that is there already, of the profile PROFILE; PACKED says more to cargo-deb. Symbols are left out, which are four fifths of it:
# `make dist` keeps them.
package:
	rm -rf target/package && mkdir -p target/package/man
	$(BINARY) man --into target/package/man
	$(BINARY) completions bash > target/package/frontgate.bash
	$(BINARY) completions zsh > target/package/_frontgate
	$(BINARY) completions fish > target/package/frontgate.fish
	cargo-deb --no-build --profile $(PROFILE) --strip $(PACKED)

# A C compiler and cmake build the compression and cryptography libraries, protoc the messages of etcd.
deps:
	@missing=""; \
	command -v cc >/dev/null 2>&1 || missing="$$missing gcc libc6-dev"; \
	command -v cmake >/dev/null 2>&1 || missing="$$missing cmake"; \
	case "$(FEATURES)" in *full* | *etcd*) command -v protoc >/dev/null 2>&1 || missing="$$missing protobuf-compiler libprotobuf-dev";; esac; \
	command -v $(CARGO) >/dev/null 2>&1 || { echo "Rust is missing: install 1.95 or newer from https://rustup.rs"; exit 1; }; \
	if [ -n "$$missing" ]; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
			apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing; \
		else echo "Missing:$$missing. On Debian: sudo apt-get install$$missing"; exit 1; fi; \
	fi
