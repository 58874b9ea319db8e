# Whether one caller, or a stranger, can take the gateway away from the others.

PRESSURE_ROWS ?=
# Row f opens 3,589 connections. A higher limit stays.
PRESSURE_FILES := 8192

.PHONY: pressure
pressure: ## Put the gateway under load with 1 GiB of memory, up to 15 minutes (PRESSURE_ROWS=a,c: some rows)
	@files=$$(ulimit -S -n); [ "$$files" = unlimited ] || [ "$$files" -ge $(PRESSURE_FILES) ] \
		|| ulimit -S -n $(PRESSURE_FILES) || echo "open files: $$files; row f opens fewer connections"; \
	PRESSURE_ROWS="$(PRESSURE_ROWS)" cargo bench --locked --bench pressure
