#!/bin/sh
# Builds plugin.wasm, or the file that is named.
set -eu
cd "$(dirname "$0")"
drawspan plugin bindings go
mkdir -p gen
GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -trimpath -buildvcs=false -ldflags='-checklinkname=0 -s -w' -o gen/core.wasm .
drawspan plugin component gen/core.wasm -o "${1:-plugin.wasm}"
