#!/usr/bin/env bash
# Makes types from the committed document, compiles a client over them, and calls the demo with it.
set -euo pipefail
cd "$(dirname "$0")"
../tools/install.sh node .
tools=$PWD/node_modules/.bin

rm -rf build
"$tools/openapi-typescript" ../../openapi/openapi.json --output build/schema.d.ts >&2
"$tools/tsc" --noEmit --strict --project .
"$tools/tsc" --project .
node --test --test-reporter=spec client.test.mjs
