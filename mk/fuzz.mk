# The fuzzer, on what anybody may send: callers, and sources. Its corpus is a part of `make test`.

FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= cursor query remarks follow_ups token juzibot tanma value_as_text

.PHONY: fuzz
fuzz: ## Fuzz each target for FUZZ_SECONDS; what it finds stays in fuzz/artifacts
	@tests/tools/install.sh crate cargo-fuzz 0.13.2 >/dev/null
	@PATH="$$(tests/tools/install.sh crate cargo-fuzz 0.13.2):$$PATH"; export RUSTC_BOOTSTRAP=1; \
	for target in $(FUZZ_TARGETS); do \
		echo "fuzzing $$target for $(FUZZ_SECONDS) s"; \
		cargo fuzz run $$target -- -max_total_time=$(FUZZ_SECONDS) -max_len=65536 -print_final_stats=1 -verbosity=1 2>&1 | tail -n 12; \
	done
