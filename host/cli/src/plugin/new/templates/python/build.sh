#!/bin/sh
# Builds plugin.wasm, or the file that is named.
set -eu
cd "$(dirname "$0")"
componentize-py -d wit -w guest componentize plugin -o "${1:-plugin.wasm}"
