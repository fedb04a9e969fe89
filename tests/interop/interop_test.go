// Package interop holds drawspan against GOST: both get the same config, the same plugin server and the same bytes from a
// client, and must do the same, except where the variable known says otherwise.
package interop

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// setup is a plugin block in the config, with the server that it points at.
type setup struct {
	name   string
	plugin string   // YAML; $GRPC and $HTTP stand for the server's addresses, $NOBODY for one where nothing listens
	server []string // flags of pluginserver
	denies bool     // the plugin never gives an answer, so nobody is let in
}

var setups = []setup{
	// As in GOST's documentation.
	{name: "grpc_tls", plugin: "{type: grpc, addr: $GRPC, token: gost, tls: {}}", server: []string{"-token", "gost", "-tls"}},
	{name: "grpc", plugin: "{type: grpc, addr: $GRPC, token: gost}", server: []string{"-token", "gost"}},
	{name: "type_omitted", plugin: "{addr: $GRPC}"},
	{name: "http", plugin: "{type: http, addr: 'http://$HTTP/auth'}"},
	{name: "http_token", plugin: "{type: http, addr: 'http://$HTTP/auth', token: gost}"},
	{name: "https", plugin: "{type: http, addr: 'https://$HTTP/auth', timeout: 5s, tls: {}}", server: []string{"-tls"}},
	{name: "grpc_wrong_token", plugin: "{type: grpc, addr: $GRPC, token: tsog}", server: []string{"-token", "gost"}, denies: true},
	{name: "grpc_no_token", plugin: "{type: grpc, addr: $GRPC}", server: []string{"-token", "gost"}, denies: true},
	{name: "http_wrong_path", plugin: "{type: http, addr: 'http://$HTTP/'}", denies: true},
	{name: "grpc_down", plugin: "{type: grpc, addr: $NOBODY, token: gost}", denies: true},
	{name: "http_down", plugin: "{type: http, addr: 'http://$NOBODY/auth'}", denies: true},
}

const proxyConfig = `
services:
- name: service-0
  addr: $ADDR
  handler: {type: http, auther: auther-0}
  listener: {type: tcp}
authers:
- name: auther-0
  plugin: $PLUGIN
`

// exchange is what a client sends over one connection, each request after the answer to the one before.
type exchange struct {
	name  string
	send  []string // $ORIGIN stands for a server's address, $NOBODY for one where nothing listens
	want  []string // how the answers begin, when the plugin answers
	asked int      // how often the plugin is asked then
}

const (
	ok           = "HTTP/1.1 200 OK\r\n"
	unauthorized = "HTTP/1.1 407 Proxy Authentication Required\r\n"
	unavailable  = "HTTP/1.1 503 Service Unavailable\r\n"
	established  = "HTTP/1.1 200 Connection established\r\n"
)

func get(url string, headers ...string) string { return request("GET "+url, "$ORIGIN", headers...) }

func connect(target string, headers ...string) string {
	return request("CONNECT "+target, target, headers...)
}

func request(line, host string, headers ...string) string {
	return line + " HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: interop\r\n" + strings.Join(headers, "") + "\r\n"
}

func basic(credentials string) string {
	return "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(credentials)) + "\r\n"
}

var (
	right  = basic(user + ":" + password)
	direct = get("/inner?a=b")

	exchanges = []exchange{
		{"get", []string{get("http://$ORIGIN/path?a=b", right, "X-Test: yes\r\n", "Proxy-Connection: keep-alive\r\n")}, []string{ok}, 1},
		{"get_twice", []string{get("http://$ORIGIN/1", right), get("http://$ORIGIN/2", right)}, []string{ok, ok}, 1},
		{"get_then_close", []string{get("http://$ORIGIN/", right, "Connection: close\r\n")}, []string{ok}, 1},
		{"get_nobody", []string{get("http://$NOBODY/", right)}, []string{unavailable}, 1},
		{"get_wrong_password", []string{get("http://$ORIGIN/", basic(user+":wrong"))}, []string{unauthorized}, 1},
		{"connect", []string{connect("$ORIGIN", right), direct}, []string{established, ok}, 1},
		{"connect_nobody", []string{connect("$NOBODY", right)}, []string{unavailable}, 1},
		{"wrong_password", []string{connect("$ORIGIN", basic(user+":wrong"))}, []string{unauthorized}, 1},
		{"wrong_user", []string{connect("$ORIGIN", basic("user:"+password))}, []string{unauthorized}, 1},
		{"empty_password", []string{connect("$ORIGIN", basic(user+":"))}, []string{unauthorized}, 1},
		{"no_colon", []string{connect("$ORIGIN", basic(user))}, []string{unauthorized}, 1},
		{"no_credentials", []string{connect("$ORIGIN")}, []string{unauthorized}, 1},
		{"keep_alive_refused", []string{get("http://$ORIGIN/", "Proxy-Connection: keep-alive\r\n")}, []string{unauthorized}, 1},
		{"not_base64", []string{connect("$ORIGIN", "Proxy-Authorization: Basic ???\r\n")}, []string{unauthorized}, 1},
		{"other_scheme", []string{connect("$ORIGIN", "Proxy-Authorization: Bearer gost\r\n")}, []string{unauthorized}, 1},
		{"markup", []string{connect("$ORIGIN", basic(`<a>&"\:`+"\u2028"))}, []string{unauthorized}, 1},
	}
)

// The right user has letters of every width in UTF-8, and the password has colons.
const (
	user     = "gøst-用户-🙂"
	password = "pä:ss:wörd"
)

// known are the headers and metadata that may differ on the way to the plugin, and why.
var known = map[string]string{
	"user-agent":     "each says who it is",
	"content-length": "it counts the digits of the client's port; the body itself is compared",
	"authorization":  "drawspan sends the token over HTTP too, stable GOST doesn't; looked at in TestInterop",
}

// outcome is all that can be seen from outside.
type outcome struct {
	Answers []string // heads with their header lines sorted, and bodies; the origin's bodies are the requests that it got
	Asked   []record // what the plugin server got
}

func TestInterop(t *testing.T) {
	origin, nobody := startOrigin(t), unusedAddr(t)
	for _, setup := range setups {
		t.Run(setup.name, func(t *testing.T) {
			server := startPluginserver(t, append(setup.server, "-user", user, "-password", password)...)
			addrs := strings.NewReplacer("$GRPC", server.grpc, "$HTTP", server.http, "$NOBODY", nobody, "$ORIGIN", origin)

			run := func(t *testing.T, binary string) map[string]outcome {
				addr := unusedAddr(t)
				file := filepath.Join(t.TempDir(), "gost.yaml")
				text := strings.NewReplacer("$ADDR", addr, "$PLUGIN", addrs.Replace(setup.plugin)).Replace(proxyConfig)
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				startGateway(t, binary, file, addr)
				outcomes := map[string]outcome{}
				for _, e := range exchanges {
					answers := talk(t, addr, e.send, addrs)
					outcomes[e.name] = outcome{answers, server.asked(t)}
				}
				return outcomes
			}

			gost := run(t, gostpeer)
			expect(t, setup, gost)

			t.Run("drawspan", func(t *testing.T) {
				drawspan := run(t, drawspanBinary(t))
				compare(t, gost, drawspan)
				if setup.name == "http_token" {
					for _, request := range drawspan["connect"].Asked {
						if token := request.Metadata["Authorization"]; !slices.Equal(token, []string{"Bearer gost"}) {
							t.Errorf("the token didn't reach the HTTP plugin: %q", token)
						}
					}
				}
			})
		})
	}
}

// expect checks that GOST itself does what the table says: else there would be little to compare with.
func expect(t *testing.T, s setup, outcomes map[string]outcome) {
	t.Helper()
	for _, e := range exchanges {
		want, got := e.want, outcomes[e.name]
		if s.denies {
			want = []string{unauthorized}
		}
		if len(got.Answers) < len(want) {
			t.Errorf("%s: %d answers, want %d: %q", e.name, len(got.Answers), len(want), got.Answers)
			continue
		}
		for i, begin := range want {
			if !strings.HasPrefix(got.Answers[i], begin) {
				t.Errorf("%s: answer %d is %q, want it to begin with %q", e.name, i, got.Answers[i], begin)
			}
		}
		if !s.denies && len(got.Asked) != e.asked {
			t.Errorf("%s: the plugin was asked %d times, want %d", e.name, len(got.Asked), e.asked)
		}
	}
}

// differs are the exchanges whose answers differ on purpose: how GOST's becomes ours, and why. Docs: differences.md.
var differs = map[string]struct {
	why  string
	ours func(gost []string) []string
}{
	"get_then_close": {
		"RFC 9112 §9.6: who is asked to close the connection says so and does it; GOST leaves it open",
		func(gost []string) []string {
			return []string{strings.Replace(gost[0], ok, ok+"Connection: close\r\n", 1), "closed"}
		},
	},
}

func compare(t *testing.T, gost, drawspan map[string]outcome) {
	for _, e := range exchanges {
		a, b := gost[e.name], drawspan[e.name]
		if difference, ok := differs[e.name]; ok && strings.HasPrefix(a.Answers[0], "HTTP/1.1 200") {
			a.Answers = difference.ours(a.Answers)
		}
		if !slices.Equal(a.Answers, b.Answers) {
			t.Errorf("%s: the client sees\n%s\nwant, as from GOST,\n%s", e.name, pretty(b.Answers), pretty(a.Answers))
		}
		asked := func(o outcome) (all []any) {
			for _, request := range o.Asked {
				all = append(all, normalised(t, request))
			}
			return
		}
		if !reflect.DeepEqual(asked(a), asked(b)) {
			t.Errorf("%s: the plugin sees\n%s\nwant, as from GOST,\n%s", e.name, pretty(b.Asked), pretty(a.Asked))
		}
	}
}

var loopbackPort = regexp.MustCompile(`^127\.0\.0\.1:\d+$`)

// normalised takes away what may differ. The body becomes its tokens, so that the order and presence of keys count while
// spelling ("\u003c" or "<") doesn't.
func normalised(t *testing.T, r record) any {
	metadata := map[string][]string{}
	for key, values := range r.Metadata {
		if _, ok := known[strings.ToLower(key)]; !ok {
			metadata[key] = values
		}
	}
	var tokens []any
	for decoder := json.NewDecoder(strings.NewReader(r.Body)); ; {
		token, err := decoder.Token()
		if err != nil {
			if rest := strings.TrimSpace(r.Body[decoder.InputOffset():]); rest != "" {
				t.Errorf("not JSON: %q", r.Body)
			}
			break
		}
		if text, ok := token.(string); ok && loopbackPort.MatchString(text) {
			token = "127.0.0.1:PORT"
		}
		tokens = append(tokens, token)
	}
	return []any{r.Protocol, r.Method, r.Path, r.Query, metadata, tokens}
}

func pretty(v any) string {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("\t", "  ")
	if err := encoder.Encode(v); err != nil {
		return fmt.Sprint(err)
	}
	return "\t" + strings.TrimRight(out.String(), "\n")
}

// TestKnownDifferences keeps the list honest: everything on it has a reason.
func TestKnownDifferences(t *testing.T) {
	for key := range maps.Keys(known) {
		if known[key] == "" || key != strings.ToLower(key) {
			t.Errorf("%q: no reason, or not in lower case", key)
		}
	}
}
