// Package export_drawspan_plugin_lifecycle hands the plugin its config.
package export_drawspan_plugin_lifecycle

import (
	wit "go.bytecodealliance.org/pkg/wit/types"
	lifecycle "wit_component/drawspan_plugin_lifecycle"
)

// Init is called once, before any question. An error refuses the plugin.
func Init(request lifecycle.InitRequest) wit.Result[wit.Unit, lifecycle.PluginError] {
	return wit.Ok[wit.Unit, lifecycle.PluginError](wit.Unit{})
}
