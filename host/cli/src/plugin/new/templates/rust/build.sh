#!/bin/sh
# Builds plugin.wasm, or the file that is named.
set -eu
cd "$(dirname "$0")"
target=${CARGO_BUILD_TARGET:-wasm32-wasip2}
"${CARGO:-cargo}" build --release --target "$target"
cp "${CARGO_TARGET_DIR:-target}/$target/release/{{module}}_plugin.wasm" "${1:-plugin.wasm}"
