// Package export_drawspan_plugin_bypass recognises targets by their domain.
package export_drawspan_plugin_bypass

import (
	"fmt"
	"strings"
	"unicode"

	wit "go.bytecodealliance.org/pkg/wit/types"
	bypass "wit_component/drawspan_plugin_bypass"
	types "wit_component/drawspan_plugin_types"
)

// Names in lower case; of those in `below` all that end with them, after a dot. Read once in `init`: an instance may be thrown
// away at any time, so nothing that changes belongs here.
var names, below map[string]bool

// Configure reads entries between spaces or commas: `example.org` is that name alone, `*.example.org` every name below it,
// `.example.org` both.
func Configure(config map[string]string) error {
	names, below = map[string]bool{}, map[string]bool{}
	for _, entry := range strings.FieldsFunc(config["domains"], func(r rune) bool { return r == ',' || unicode.IsSpace(r) }) {
		name, star := strings.CutPrefix(entry, "*.")
		dot := false
		if !star {
			name, dot = strings.CutPrefix(entry, ".")
		}
		// `com*` or `a.*.b` would otherwise match nothing in silence.
		if name == "" || strings.ContainsAny(name, "*:/") {
			return fmt.Errorf("`%s` is none of example.org, .example.org and *.example.org", entry)
		}
		if name = host(name); star || dot {
			below[name] = true
		}
		if !star {
			names[name] = true
		}
	}
	if len(names)+len(below) == 0 {
		return fmt.Errorf("`domains` is missing or empty: write `domains: \"example.org .example.net\"` under the plugin's `config`")
	}
	return nil
}

// Contains says whether the target's domain is in the list.
func Contains(request bypass.BypassRequest) wit.Result[bypass.Match, bypass.PluginError] {
	if names == nil {
		return wit.Err[bypass.Match](types.MakePluginErrorFailed("init was not called"))
	}
	// At hop and node level the target is an address already; `host` is the name that the client asked for.
	match := bypass.MatchUnmatched
	if listed(request.TargetAddress) || listed(request.Host.SomeOr("")) {
		match = bypass.MatchMatched
	}
	return wit.Ok[bypass.Match, bypass.PluginError](match)
}

// Whether the host of the address, with or without a port, is in the list.
func listed(address string) bool {
	name := host(address)
	if names[name] {
		return true
	}
	for _, rest, dot := strings.Cut(name, "."); dot; _, rest, dot = strings.Cut(rest, ".") {
		if below[rest] {
			return true
		}
	}
	return false
}

// A host name as it is compared: without port and trailing dot, in lower case.
func host(address string) string {
	name := address
	if ip, _, ok := strings.Cut(strings.TrimPrefix(address, "["), "]"); ok && address[0] == '[' {
		name = ip
	} else if strings.Count(address, ":") == 1 { // More than one colon is an IPv6 address without brackets.
		name, _, _ = strings.Cut(address, ":")
	}
	return strings.ToLower(strings.TrimSuffix(name, "."))
}
