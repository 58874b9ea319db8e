# The dependencies: licences, origins, duplicates, and what is known against them.

CARGO_DENY = PATH="$$(tests/tools/install.sh crate cargo-deny 0.20.2):$$PATH"; cargo deny

.PHONY: audit bans
audit: bans ## Check the dependencies, and hold them against the advisories (ADVISORY_DB: a clone of rustsec/advisory-db to use)
	tests/tools/advisories.sh

bans: ## The part of `audit` that needs no advisories: licences, origins, duplicates
	@$(CARGO_DENY) check -D unmatched-skip -D unnecessary-skip licenses bans sources
	@# The fuzzer is run by developers and shipped to nobody: whatever its own dependencies' licences, and fewer of them twice.
	@$(CARGO_DENY) --locked --manifest-path fuzz/Cargo.toml --config deny.toml check -A unmatched-skip -A unnecessary-skip bans sources
