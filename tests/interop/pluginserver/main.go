// Pluginserver answers every plugin module of GOST from a small table; see package plugins.
package main

import "drawspan.invalid/interop/internal/plugins"

func main() { plugins.Main() }
