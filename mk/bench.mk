# Measurements; run them on a quiet machine.
.PHONY: bench-outage

bench-outage: ## Measure what a failing source costs; SCRM_BENCH_OUT names a folder for the readings
	cargo bench --locked --bench outage
