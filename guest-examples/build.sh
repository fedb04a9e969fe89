#!/usr/bin/env bash
# Rebuilds the component of each guest, or of those that are named, and SHA256SUMS. Writing a plugin needs none of this: see
# the guests' README.md.
#
#     build.sh [admission-rust …]
set -euo pipefail
cd "$(dirname "$0")"
if (($# == 0)); then set -- *-rust; fi
for guest; do ./build-rust.sh . "$guest" "$guest/${guest%-rust}.wasm"; done
sha256sum -- */*.wasm >SHA256SUMS
