#!/bin/sh
# Builds plugin.wasm, or the file that is named.
set -eu
cd "$(dirname "$0")"
OUT="${1:-plugin.wasm}" node --input-type=module <<'JS'
import { readFile, writeFile } from "node:fs/promises";
import { componentize } from "@bytecodealliance/componentize-js";

// Without "http" and "fetch-event" here the plugin could `fetch`, and would need the grant for it.
const options = { witPath: "wit", worldName: "guest", disableFeatures: ["http", "fetch-event"] };
const { component } = await componentize(await readFile("plugin.js", "utf8"), options);
await writeFile(process.env.OUT, component);
JS
