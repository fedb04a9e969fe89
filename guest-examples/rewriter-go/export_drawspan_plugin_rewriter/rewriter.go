// Package export_drawspan_plugin_rewriter replaces text in HTTP bodies.
package export_drawspan_plugin_rewriter

import (
	"fmt"
	"strings"
	"unicode/utf8"

	wit "go.bytecodealliance.org/pkg/wit/types"
	rewriter "wit_component/drawspan_plugin_rewriter"
	types "wit_component/drawspan_plugin_types"
)

// Read once in `init`. An instance may be thrown away at any time, so nothing that changes belongs here.
var replacer *strings.Replacer

// Configure reads lines of the form `text => replacement`; a replacement may be empty.
func Configure(config map[string]string) error {
	var pairs []string
	for i, line := range strings.Split(config["replace"], "\n") {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		from, to, _ := strings.Cut(line, "=>")
		if from = strings.TrimSpace(from); from == "" || !strings.Contains(line, "=>") {
			return fmt.Errorf("line %d of `replace` is not of the form `text => replacement`", i+1)
		}
		pairs = append(pairs, from, strings.TrimSpace(to))
	}
	if pairs == nil {
		return fmt.Errorf("`replace` is missing or empty: write lines of the form `text => replacement` under the plugin's `config`")
	}
	replacer = strings.NewReplacer(pairs...)
	return nil
}

// Rewrite replaces. Of several that fit at one place the first in the config is taken; what was put in isn't looked at again.
func Rewrite(request rewriter.RewriteRequest) wit.Result[wit.Option[[]uint8], rewriter.PluginError] {
	if replacer == nil {
		return wit.Err[wit.Option[[]uint8]](types.MakePluginErrorFailed("init was not called"))
	}
	body := string(request.Data)
	// What isn't text, an image for example, is left alone.
	if utf8.ValidString(body) {
		if replaced := replacer.Replace(body); replaced != body {
			return wit.Ok[wit.Option[[]uint8], rewriter.PluginError](wit.Some([]uint8(replaced)))
		}
	}
	return wit.Ok[wit.Option[[]uint8], rewriter.PluginError](wit.None[[]uint8]())
}
