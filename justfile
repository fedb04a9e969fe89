# What there is to do here. `just` lists it; `.ci/run` does it all. With `-p` cargo chooses other features of dependencies, and compiles
# much of what `cargo test` has compiled once more.

default:
    @just --list

# the tests that need nothing but Rust
test:
    cargo test

# format, lints, docs, dependencies
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --lib --bins --examples
    cargo deny check bans licenses sources

# the same configs and clients against GOST and drawspan (needs Go)
interop:
    cargo test --workspace --test e2e --no-run
    cd tests/interop && DRAWSPAN_BIN={{justfile_directory()}}/target/debug/drawspan go test ./...

# stores in a real Redis (needs redis-server)
redis:
    cargo test --workspace --test redis -- --ignored
    cargo test --workspace --test e2e redis -- --ignored

# what docs/speed.md shows: latencies of each backing, components by themselves, a soak, a gateway under attack, its start
bench:
    cargo bench --workspace --bench authenticate --bench speed --bench soak --bench attack --bench start

# rebuild the committed components and check that nothing changed
guests:
    guest-examples/build.sh
    cd guest-examples && sha256sum -c SHA256SUMS

# each fuzz target for so many seconds (needs cargo-fuzz)
fuzz seconds="60":
    tests/fuzz/run {{seconds}}
