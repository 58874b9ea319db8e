# The dependencies: licences, origins, duplicates, and what is known against them.

CARGO_DENY = PATH="$$(tests/tools/install.sh crate cargo-deny 0.20.2):$$PATH"; cargo deny

.PHONY: audit bans
audit: bans ## Check the dependencies, and hold them against the advisories (ADVISORY_DB: a clone of rustsec/advisory-db to use)
	tests/tools/advisories.sh

bans: ## The part of `audit` that needs no advisories: licences, origins, duplicates
	@$(CARGO_DENY) check licenses bans sources
