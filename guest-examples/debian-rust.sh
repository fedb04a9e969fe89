# Sourced: lets $CARGO build components with Debian's rustc-web, cargo-web and rust-web-src, where rustup's wasm32 targets can't be
# had. The standard library is compiled along, and the component imports nothing of WASI.
find_in() { grep -m1 "bin/$2\$" <<<"$(dpkg -L "$1" 2>/dev/null)"; }
if ! CARGO=$(find_in cargo-web cargo) || ! RUSTC=$(find_in rustc-web rustc) || ! dpkg -s rust-web-src >/dev/null 2>&1; then
    echo "either 'rustup target add wasm32-wasip2' or 'apt-get install rustc-web cargo-web rust-web-src' first" >&2
    exit 1
fi
# rustup ships the linker that makes components, for every target, and the wasm-ld that it calls.
linkers=$(rustc --print sysroot)/lib/rustlib/$(rustc --print host-tuple)/bin
RUSTFLAGS="-Clinker=$linkers/wasm-component-ld --remap-path-prefix=$("$RUSTC" --print sysroot)/lib/rustlib/src/rust=std"
PATH=$linkers/gcc-ld:$PATH
# The Debian compiler is a stable one; building std with it is what needs the bootstrap switch.
export CARGO RUSTC RUSTFLAGS PATH RUSTC_BOOTSTRAP=1 CARGO_UNSTABLE_BUILD_STD=std,panic_abort CARGO_BUILD_TARGET=wasm32-unknown-unknown
