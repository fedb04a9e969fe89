#!/usr/bin/env bash
# Rebuilds what is in prebuilt/. For the guest `wasi` see --wasi in guest-examples/build-rust.sh; it is left as it is
# when WASI_LIBC isn't set, and `table-bomb` when there is no `drawspan` or no clang.
set -euo pipefail
cd "$(dirname "$0")"
build=../../guest-examples/build-rust.sh

for guest in hostile bypass-only moody outside reach scripted told; do "$build" . "$guest" "prebuilt/$guest.wasm"; done
if [[ ${WASI_LIBC:-} || ${GUEST_TOOLCHAIN:-} == rustup ]]; then "$build" --wasi . wasi prebuilt/wasi.wasm; fi
if command -v drawspan >/dev/null && command -v "${CC:-clang}" >/dev/null; then table-bomb/build.sh ../prebuilt/table-bomb.wasm; fi

# An empty core module: valid WebAssembly, but not a component.
printf '\0asm\1\0\0\0' >prebuilt/core-module.wasm

cd prebuilt
sha256sum -- *.wasm >SHA256SUMS
