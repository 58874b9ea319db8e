#!/usr/bin/env bash
# Generates two clients from the committed document, in TypeScript and in Python. Compiles a program over the first and calls
# the demo with it; gives both of them responses with values that no version knows yet.
set -euo pipefail
cd "$(dirname "$0")"
../tools/install.sh node .
python=$(../tools/install.sh venv requirements.txt)
tools=$PWD/node_modules/.bin
document=../../openapi/openapi.json

rm -rf build
"$tools/openapi-typescript" "$document" --output build/schema.d.ts >&2
"$tools/tsc" --strict --project .
node answers.mjs
# A warning of the generator is a part of the document that its clients lack.
"$python/openapi-python-client" generate --fail-on-warning --path "$document" --meta none \
  --config openapi-python-client.yaml --output-path build/scrm_gateway_client >&2
PYTHONPATH=build PYTHONDONTWRITEBYTECODE=1 "$python/python" open_test.py
node --test --test-reporter=spec open.test.mjs client.test.mjs
