#!/usr/bin/env bash
# gRPC plugin calls by drawspan's client and by GOST's, of the same server, 64 in flight: calls per CPU-second of the client, and
# their ratio. Takes the flags of bench/main.go. DRAWSPAN_BIN: another drawspan than the release build, which is made if missing.
set -euo pipefail
cd "$(dirname "$0")"

if [[ -z ${DRAWSPAN_BIN:-} ]]; then
    (cd ../.. && cargo build --release -p drawspan)
    DRAWSPAN_BIN=../../target/release/drawspan
fi
built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT
go build -o "$built" ./pluginserver ./bench
"$built/bench" -server "$built/pluginserver" -drawspan "$DRAWSPAN_BIN" "$@"
