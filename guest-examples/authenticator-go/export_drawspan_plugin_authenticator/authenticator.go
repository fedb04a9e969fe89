// Package export_drawspan_plugin_authenticator lets in the users which the config names.
package export_drawspan_plugin_authenticator

import (
	"crypto/subtle"
	"fmt"
	"strings"
	"unicode"

	wit "go.bytecodealliance.org/pkg/wit/types"
	auth "wit_component/drawspan_plugin_authenticator"
	types "wit_component/drawspan_plugin_types"
)

// The passwords by user. Read once in `init`: an instance may be thrown away at any time, so nothing that changes belongs here.
var users map[string]string

// Configure reads `user:password` pairs between whitespace or commas. The first colon splits, so a password may contain more.
//
// The error counts entries instead of quoting them: it goes to a log, and an entry may be all password.
func Configure(config map[string]string) error {
	users = map[string]string{}
	for i, entry := range strings.FieldsFunc(config["users"], func(r rune) bool { return r == ',' || unicode.IsSpace(r) }) {
		user, password, _ := strings.Cut(entry, ":")
		if user == "" || password == "" {
			return fmt.Errorf("entry %d of `users` is not of the form user:password", i+1)
		}
		if _, known := users[user]; known {
			return fmt.Errorf("entry %d of `users` names the user `%s` again", i+1, user)
		}
		users[user] = password
	}
	if len(users) == 0 {
		return fmt.Errorf("`users` is missing or empty: write `users: \"user:password …\"` under the plugin's `config`")
	}
	return nil
}

// Authenticate lets in who has the right password.
func Authenticate(request auth.AuthenticationRequest) wit.Result[wit.Option[auth.Identity], auth.PluginError] {
	if users == nil {
		return wit.Err[wit.Option[auth.Identity]](types.MakePluginErrorFailed("init was not called"))
	}
	password, known := users[request.Username]
	if !known || subtle.ConstantTimeCompare([]byte(password), []byte(request.Password)) != 1 {
		return wit.Ok[wit.Option[auth.Identity], auth.PluginError](wit.None[auth.Identity]())
	}
	return wit.Ok[wit.Option[auth.Identity], auth.PluginError](wit.Some(auth.Identity{ClientId: request.Username}))
}
