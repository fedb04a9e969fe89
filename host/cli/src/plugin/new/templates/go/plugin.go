// Package export_drawspan_plugin_{{interface_snake}} is a plugin for drawspan: {{module}}.
package export_drawspan_plugin_{{interface_snake}}

import (
	wit "go.bytecodealliance.org/pkg/wit/types"
	plugin "wit_component/drawspan_plugin_{{interface_snake}}"
)
{{functions}}
