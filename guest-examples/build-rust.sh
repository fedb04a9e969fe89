#!/usr/bin/env bash
# Builds one Rust guest into a component:  build-rust.sh [--wasi] FOLDER PACKAGE OUTPUT.wasm
#
# With rustup's target wasm32-wasip2 this is an ordinary `cargo build`. Without it, Debian's rustc-web, cargo-web and
# rust-web-src are used, which compile the standard library along. A component made so imports nothing from WASI, unless
# --wasi asks for it; then WASI_LIBC must name the folder usr/lib/wasm32-wasip2 of a wasi-libc package of 2025 or later.
#
# GUEST_TOOLCHAIN=rustup or =debian decides if both are there. The components in the repository are of the second kind.
set -euo pipefail

wasi=
if [[ $1 == --wasi ]]; then wasi=1; shift; fi
here=$(realpath "$(dirname "$0")") folder=$1 package=$2 output=$(realpath "$3")
cd "$folder"

toolchain=${GUEST_TOOLCHAIN:-debian}
if [[ -z ${GUEST_TOOLCHAIN:-} && $(rustup target list --installed 2>/dev/null) == *wasm32-wasip2* ]]; then
    toolchain=rustup
fi

if [[ $toolchain == debian ]]; then
    # shellcheck source=debian-rust.sh
    source "$here/debian-rust.sh"
    if [[ $wasi ]]; then
        : "${WASI_LIBC:?see the top of $0}"
        CARGO_BUILD_TARGET=wasm32-wasip2
        RUSTFLAGS+=" -Clink-self-contained=no -Clink-arg=$WASI_LIBC/crt1-reactor.o -Lnative=$WASI_LIBC"
    fi
fi
export CARGO_BUILD_TARGET=${CARGO_BUILD_TARGET:-wasm32-wasip2} CARGO=${CARGO:-cargo}

# Panic messages hold paths: the same bytes must come out in any folder, for any user. The folder of the dependencies has
# its name once something was fetched.
"$CARGO" fetch --locked
for sources in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do RUSTFLAGS+=" --remap-path-prefix=$sources=deps"; done
export RUSTFLAGS+=" --remap-path-prefix=$PWD=guest"

"$CARGO" build --release --locked --target-dir target --package "$package"
cp "target/$CARGO_BUILD_TARGET/release/${package//-/_}.wasm" "$output"
