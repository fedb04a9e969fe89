// Authserver is pluginserver under the name that drawspan's README knows.
package main

import "drawspan.invalid/interop/internal/plugins"

func main() { plugins.Main() }
