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
folder=$1 package=$2 output=$(realpath "$3")
cd "$folder"

toolchain=${GUEST_TOOLCHAIN:-debian}
if [[ -z ${GUEST_TOOLCHAIN:-} && $(rustup target list --installed 2>/dev/null) == *wasm32-wasip2* ]]; then
    toolchain=rustup
fi

cargo=cargo target=wasm32-wasip2 flags=() std=()
if [[ $toolchain == debian ]]; then
    find_in() { grep -m1 "bin/$2\$" <<<"$(dpkg -L "$1" 2>/dev/null)"; }
    if ! cargo=$(find_in cargo-web cargo) || ! RUSTC=$(find_in rustc-web rustc) || ! dpkg -s rust-web-src >/dev/null 2>&1; then
        echo "either 'rustup target add wasm32-wasip2' or 'apt-get install rustc-web cargo-web rust-web-src' first" >&2
        exit 1
    fi
    # rustup ships the linker that makes components, for every target, and the wasm-ld that it calls.
    linkers=$(rustc --print sysroot)/lib/rustlib/$(rustc --print host-tuple)/bin
    flags+=("-Clinker=$linkers/wasm-component-ld" "--remap-path-prefix=$("$RUSTC" --print sysroot)/lib/rustlib/src/rust=std")
    std=(-Zbuild-std=std,panic_abort)
    if [[ $wasi ]]; then
        : "${WASI_LIBC:?see the top of $0}"
        flags+=(-Clink-self-contained=no "-Clink-arg=$WASI_LIBC/crt1-reactor.o" "-Lnative=$WASI_LIBC")
    else
        target=wasm32-unknown-unknown
    fi
    # The Debian compiler is a stable one; building std with it is what needs the bootstrap switch.
    export RUSTC RUSTC_BOOTSTRAP=1 PATH=$linkers/gcc-ld:$PATH
fi

# Panic messages hold paths: the same bytes must come out in any folder, for any user. The folder of the dependencies has
# its name once something was fetched.
"$cargo" fetch --locked
for sources in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do flags+=("--remap-path-prefix=$sources=deps"); done
flags+=("--remap-path-prefix=$PWD=guest")

RUSTFLAGS=${flags[*]} "$cargo" build --release --locked "${std[@]}" --target "$target" --target-dir target --package "$package"
cp "target/$target/release/${package//-/_}.wasm" "$output"
