#!/usr/bin/env bash
# Holds Cargo.lock against RustSec's advisories, by cargo-deny.
#
# ADVISORY_DB: a local clone of its database, for where the network has none; without it, cargo-deny fetches one.
set -euo pipefail
cd "$(dirname "$0")/../.."
PATH="$(tests/tools/install.sh crate cargo-deny 0.20.2):$PATH"

if [ -z "${ADVISORY_DB-}" ]; then
  exec cargo deny check advisories
fi
git -C "$ADVISORY_DB" log -1 --format='advisories of %cs' 2>/dev/null || true
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Where cargo-deny keeps the database that it fetches: the folder's name is made of the address.
git clone --quiet "$ADVISORY_DB" "$work/advisory-db-3157b0e258782691"
sed "s|^\[advisories\]$|&\ndb-path = \"$work\"|" deny.toml > "$work/deny.toml"
cargo deny --offline --config "$work/deny.toml" check advisories
