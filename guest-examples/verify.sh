#!/usr/bin/env bash
# Asks each component that is there, or those of the guests that are named, the questions of cases/. `drawspan` must be on the PATH.
#
#     verify.sh [bypass-go …]
set -euo pipefail
cd "$(dirname "$0")"
if (($# == 0)); then set -- *-*/; fi
replace='http://a.example => https://a.example
hello => goodbye
goodbye => hello
secret =>'

for guest; do
    guest=${guest%/}
    module=${guest%-*} config=()
    case $module in
        authenticator) config=(--config "users=alice:wonder, bob:a:b:") ;;
        bypass) config=(--config "domains=exact.example, .both.example *.Below.Example") ;;
        # JavaScript's collector comes late when bodies are large.
        rewriter) config=(--config "replace=$replace" --plugin '{"memory": "256MiB"}') ;;
        *) continue ;;
    esac
    component=$guest/$module.wasm
    [[ -f $component ]] || continue
    echo "$component"
    drawspan plugin verify "$component" --expect "cases/$module.yaml" "${config[@]}" | { grep -v "^ok" || true; }
    if refusal=$(drawspan plugin verify "$component" "${config[@]}" --config stranger=1 2>&1) || [[ $refusal != *'`stranger`'* ]]; then
        echo "$component doesn't refuse a config key that it doesn't know: $refusal"
        exit 1
    fi
done
