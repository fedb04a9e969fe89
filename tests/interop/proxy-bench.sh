#!/usr/bin/env bash
# drawspan, GOST and HAProxy (`mode tcp`, if it is installed) as proxies under the same load: connections and bytes per CPU-second
# of the proxy, how long connections wait, memory, start-up with all plugins. Takes the flags of proxybench/main.go (`-turn 1s
# -rounds 1` for a quick look).
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
go build -o "$built" ./pluginserver ./gostpeer ./proxybench
"$built/proxybench" -drawspan "$DRAWSPAN_BIN" -gost "$built/gostpeer" -server "$built/pluginserver" \
    -guests ../../guest-examples -guest ../../guest-examples/authenticator-rust/authenticator.wasm "$@"
