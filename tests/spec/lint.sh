#!/usr/bin/env bash
# Lints the committed document with three tools; any finding of any of them fails.
set -uo pipefail
cd "$(dirname "$0")"

document=../../openapi/openapi.json
tools=$PWD/node_modules/.bin
python=$(../tools/install.sh venv requirements.txt) || exit 1
failed=()

echo '== spectral'
"$tools/spectral" lint --ruleset spectral.yaml --fail-severity hint "$document" || failed+=(spectral)
echo '== redocly'
REDOCLY_SUPPRESS_UPDATE_NOTICE=true NODE_NO_WARNINGS=1 "$tools/redocly" lint --config redocly.yaml "$document" ||
  failed+=(redocly)
echo '== openapi-spec-validator'
"$python/openapi-spec-validator" "$document" || failed+=(openapi-spec-validator)

if [ ${#failed[@]} -gt 0 ]; then
  echo "the document does not pass ${failed[*]}" >&2
  exit 1
fi
