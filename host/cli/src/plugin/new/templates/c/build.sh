#!/bin/sh
# Builds plugin.wasm, or the file that is named.
set -eu
cd "$(dirname "$0")"
drawspan plugin bindings c --out gen
# The folder is where Debian has wasi-libc's headers; the SDK's own clang knows better.
"${CC:-clang}" --target=wasm32-wasi -mexec-model=reactor -Os -Wall -Wextra -Wl,-s -isystem /usr/include/wasm32-wasi -Igen \
    plugin.c gen/guest.c gen/guest_component_type.o -o gen/core.wasm
drawspan plugin component gen/core.wasm -o "${1:-plugin.wasm}"
