#!/usr/bin/env bash
# Rebuilds the component of each guest, or of those that are named, and SHA256SUMS of those that are in the repository. A guest whose
# tools aren't there is skipped, and is an error where CI is set; one that didn't change since it was built is left alone. Go and C
# want `drawspan` on the PATH. Writing a plugin needs none of this: see the guests' README.md.
#
#     build.sh [admission-rust …]
set -euo pipefail
cd "$(dirname "$0")"
if (($# == 0)); then set -- *-rust *-c *-go *-js *-python; fi

# What the language can't be built without, as far as it is missing.
missing() {
    local tools=()
    case $1 in
        c) tools=(drawspan "${CC:-clang}") ;;
        go) tools=(drawspan go) ;;
        js) tools=(node) && [[ -d node_modules ]] || echo "node_modules (npm install)" ;;
        python) tools=(componentize-py) ;;
    esac
    for tool in "${tools[@]}"; do command -v "$tool" >/dev/null || echo "$tool"; done
}

for guest; do
    language=${guest##*-} component=${guest%-*}.wasm
    if [[ $language == rust ]]; then
        ./build-rust.sh . "$guest" "$guest/$component"
        continue
    fi
    if lacking=$(missing "$language") && [[ $lacking ]]; then
        echo "$guest: skipped, there is no ${lacking//$'\n'/, no }" >&2
        [[ -z ${CI:-} ]] || exit 1
        continue
    fi
    sources=$(find -L "$guest" \( -name gen -o -name __pycache__ -o -name 'drawspan_plugin_*' \) -prune -o -type f \
        ! -name '*.wasm' ! -name .built ! -name wit_exports.go ! -name gc.go -print0 | sort -z | xargs -0 sha256sum | sha256sum)
    if [[ -f $guest/$component && $(cat "$guest/.built" 2>/dev/null) == "$sources" ]]; then
        echo "$guest: as it was"
        continue
    fi
    echo "$guest"
    "$guest/build.sh" "$component"
    echo "$sources" >"$guest/.built"
done
sha256sum -- *-rust/*.wasm *-c/*.wasm >SHA256SUMS
