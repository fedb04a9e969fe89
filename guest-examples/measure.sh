#!/usr/bin/env bash
# Prints the table of README.md for each component that is there, or for the guests that are named. `drawspan`, a release build, must be
# on the PATH.
#
#     measure.sh [bypass-go …]
set -euo pipefail
cd "$(dirname "$0")"
source settings.sh
if (($# == 0)); then set -- *-rust *-c *-go *-js *-python; fi
cache=$(mktemp -d)
trap 'rm -rf "$cache"' EXIT
export XDG_CACHE_HOME=$cache

# A row of `plugin bench`: start, p50, …
bench() { drawspan plugin bench "$1" "$2" -n 2000 "${settings[@]}" | sed -n 2p; }

echo '| guest | module | language | bytes | imports | built by | start, compiled | start, from the cache | a call |'
echo '|---|---|---|---|---|---|---|---|---|'
for guest; do
    guest=${guest%/}
    name=${guest%-*} component=$guest/${guest%-*}.wasm
    [[ -f $component ]] || continue
    settings "$name"
    found=$(drawspan plugin inspect "$component")
    module=$(awk '$1 == "answers" { print $2 }' <<<"$found")
    imports=$(sed -n 's/^imports *wasi:\([a-z]*\)\/.*/\1/p' <<<"$found" | sort -u | paste -sd ' ')
    rm -rf "${cache:?}"/*
    read -r compiled _ < <(bench "$module" "$component")
    read -r cached call _ < <(bench "$module" "$component")
    size=$(stat -c %s "$component" | sed -E ':a; s/\B[0-9]{3}\b/,&/; ta')
    echo "| [$guest]($guest) | $module | ${guest##*-} | $size | ${imports:-none} | \`build.sh $guest\` | $compiled | $cached | $call |"
done
