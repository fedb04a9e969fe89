#!/usr/bin/env bash
# The dns handlers of drawspan and GOST under the same load: questions answered per CPU-second, from memory and by asking a server.
# Takes the flags of dnsbench/main.go (`-turn 1s -rounds 1` for a quick look); fails below 1.5 times GOST.
# DRAWSPAN_BIN: another drawspan than the release build, which is made if missing.
set -euo pipefail
cd "$(dirname "$0")"

if [[ -z ${DRAWSPAN_BIN:-} ]]; then
    (cd ../.. && cargo build --release -p drawspan)
    DRAWSPAN_BIN=../../target/release/drawspan
fi
ulimit -n "$(ulimit -Hn)"
built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT
go build -o "$built" ./gostpeer ./dnsbench
"$built/dnsbench" -drawspan "$DRAWSPAN_BIN" -gost "$built/gostpeer" "$@"
