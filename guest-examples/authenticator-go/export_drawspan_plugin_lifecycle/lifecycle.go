// Package export_drawspan_plugin_lifecycle hands the plugin its config.
package export_drawspan_plugin_lifecycle

import (
	"fmt"

	wit "go.bytecodealliance.org/pkg/wit/types"
	lifecycle "wit_component/drawspan_plugin_lifecycle"
	types "wit_component/drawspan_plugin_types"
	plugin "wit_component/export_drawspan_plugin_authenticator"
)

// Init is called once, before any question.
func Init(request lifecycle.InitRequest) wit.Result[wit.Unit, lifecycle.PluginError] {
	if err := configure(request.Config); err != nil {
		return wit.Err[wit.Unit](types.MakePluginErrorInvalidRequest(err.Error()))
	}
	return wit.Ok[wit.Unit, lifecycle.PluginError](wit.Unit{})
}

func configure(pairs []wit.Tuple2[string, string]) error {
	config := map[string]string{}
	for _, pair := range pairs {
		// A key that nobody reads is more likely a typing error than a wish, so it is refused.
		if pair.F0 != "users" {
			return fmt.Errorf("unknown config key `%s`; this plugin reads `users`", pair.F0)
		}
		config[pair.F0] = pair.F1
	}
	return plugin.Configure(config)
}
