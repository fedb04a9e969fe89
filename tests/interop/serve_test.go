package interop

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// consult is a place where GOST asks a module, and what can be seen of the answer. Router and rewriter are not among them:
// GOST's router needs a TUN device, and stable GOST has no rewriter (TestServeRouter, TestServeRoutes, TestServeRewrites).
type consult struct {
	name, module string
	server       []string // flags of pluginserver
	serve        []string // flags of `drawspan plugin serve`, so that the guest answers as pluginserver does
	config       string   // $PLUGIN is the module's `plugin:` block
	visits       []visit
	settles      bool          // the first visit may come too early
	slower       time.Duration // than this is a download of 1 MB
	told         string        // part of what the plugin gets to know
}

// visit is a request to the gateway.
type visit struct {
	from string // IP address
	to   string
	send string
	want string // how the answer begins
}

const (
	here   = "127.0.0.1"
	denied = "127.0.0.66"

	proxy = `
services:
- name: service-0
  addr: $ADDR
  listener: {type: tcp}
`
	// The other service shows when GOST has read who alice is: that may be after it listens.
	asAlice = `
authers:
- {name: auther-0, auths: [{username: alice, password: wonder}]}
services:
- {name: other, addr: $OTHER, handler: {type: http, auther: auther-0}, listener: {type: tcp}}
- name: service-0
  addr: $ADDR
  listener: {type: tcp}
  handler: {type: http, auther: auther-0, `

	// A tunnel to the origin: service-0 holds it, and a client of it is in the same process.
	tunnels = `
- name: client
  addr: public.test
  handler: {type: rtcp}
  listener: {type: rtcp, chain: chain-0}
  forwarder: {nodes: [{name: origin, addr: $ORIGIN}]}
chains:
- name: chain-0
  hops:
  - name: hop-0
    nodes:
    - name: node-0
      addr: $ADDR
      connector: {type: tunnel, metadata: {tunnel.id: ` + tunnel + `}}
      dialer: {type: tcp}
`
)

var credentials = basic("alice:wonder")

var consults = []consult{
	{
		name: "auther", module: "auther",
		server: []string{"-user", "alice", "-password", "wonder"},
		serve:  []string{"--config", "users=alice:wonder"},
		config: proxy + `
  handler: {type: http, auther: auther-0}
authers:
- {name: auther-0, plugin: $PLUGIN}
`,
		visits: []visit{
			{here, "$ADDR", get("http://$ORIGIN/", credentials), ok},
			{here, "$ADDR", get("http://$ORIGIN/", basic("alice:wrong")), unauthorized},
			{here, "$ADDR", get("http://$ORIGIN/"), unauthorized},
		},
	},
	{
		name: "admission", module: "admission",
		serve: []string{"--config", "deny=" + denied},
		config: proxy + `
  admission: admission-0
  handler: {type: http}
admissions:
- {name: admission-0, plugin: $PLUGIN}
`,
		visits: []visit{
			{here, "$ADDR", get("http://$ORIGIN/"), ok},
			{denied, "$ADDR", get("http://$ORIGIN/"), "closed"},
		},
	},
	{
		name: "bypass", module: "bypass",
		serve: []string{"--config", "domains=*.blocked"},
		config: proxy + `
  bypass: bypass-0
  handler: {type: http}
bypasses:
- {name: bypass-0, plugin: $PLUGIN}
`,
		visits: []visit{
			{here, "$ADDR", get("http://$ORIGIN/"), ok},
			{here, "$ADDR", connect("example.blocked:443"), forbidden},
			{here, "$ADDR", get("http://example.blocked/"), forbidden},
		},
	},
	{
		// Only the node knows behind.test.
		name: "hop", module: "hop",
		server: []string{"-node", "$NODE"},
		serve:  []string{"--config", "nodes=node-0=$NODE"},
		config: proxy + `
  handler: {type: http, chain: chain-0}
- name: node
  addr: $NODE
  hosts: hosts-0
  handler: {type: http}
  listener: {type: tcp}
chains:
- {name: chain-0, hops: [{name: hop-0}]}
hops:
- {name: hop-0, plugin: $PLUGIN}
hosts:
- {name: hosts-0, mappings: [{hostname: behind.test, ip: 127.0.0.1}]}
`,
		visits: []visit{{here, "$ADDR", get("http://behind.test:$PORT/"), ok}},
	},
	{
		name: "limiter", module: "limiter",
		serve: []string{"--config", "users=alice=none/500000B"},
		config: asAlice + `limiter: limiter-0}
limiters:
- {name: limiter-0, plugin: $PLUGIN}
`,
		slower: 900 * time.Millisecond, // half of it at once, the other half at 500 kB/s
	},
	{
		name: "hosts", module: "hosts",
		serve: []string{"--config", "hosts=127.0.0.1 mapped.test"},
		config: proxy + `
  hosts: hosts-0
  handler: {type: http}
hosts:
- {name: hosts-0, plugin: $PLUGIN}
`,
		visits: []visit{
			{here, "$ADDR", get("http://mapped.test:$PORT/"), ok},
			{here, "$ADDR", get("http://$ORIGIN/"), ok},
		},
	},
	{
		name: "resolver", module: "resolver",
		serve: []string{"--config", "zone=resolved.test A 127.0.0.1"},
		config: proxy + `
  resolver: resolver-0
  handler: {type: http}
resolvers:
- {name: resolver-0, plugin: $PLUGIN}
`,
		visits: []visit{
			{here, "$ADDR", get("http://resolved.test:$PORT/"), ok},
			{here, "$ADDR", get("http://nowhere.test:$PORT/"), unavailable},
		},
	},
	{
		name: "ingress", module: "ingress",
		serve: []string{"--config", "rules=public.test=" + tunnel, "--keyvalue", "default"},
		config: proxy + `
  handler: {type: tunnel, metadata: {entrypoint: $ENTRY, ingress: ingress-0}}` + tunnels + `
ingresses:
- {name: ingress-0, plugin: $PLUGIN}
`,
		visits: []visit{
			{here, "$ENTRY", request("GET /", "public.test"), ok},
			{here, "$ENTRY", request("GET /", "other.test"), "HTTP/1.1 502 "},
		},
		settles: true,
	},
	{
		// Another gateway, service-1, finds the tunnel that service-0 holds.
		name: "sd", module: "sd",
		serve: []string{"--keyvalue", "default"},
		config: proxy + `
  handler: {type: tunnel, metadata: {entrypoint: $ENTRY, ingress: ingress-0, sd: sd-0}}
- name: service-1
  addr: $NODE
  handler: {type: tunnel, metadata: {entrypoint: $OTHER, ingress: ingress-0, sd: sd-0}}
  listener: {type: tcp}` + tunnels + `
ingresses:
- {name: ingress-0, rules: [{hostname: public.test, endpoint: ` + tunnel + `}]}
sds:
- {name: sd-0, plugin: $PLUGIN}
`,
		visits:  []visit{{here, "$OTHER", request("GET /", "public.test"), ok}},
		settles: true,
	},
	{
		name: "recorder", module: "recorder",
		config: asAlice + `}
  recorders:
  - {name: recorder-0, record: recorder.service.handler}
recorders:
- {name: recorder-0, plugin: $PLUGIN}
`,
		visits: []visit{{here, "$ADDR", get("http://$ORIGIN/", credentials, "Connection: close\r\n"), ok}},
		told:   "alice",
	},
	{
		name: "observer", module: "observer",
		serve: []string{"--keyvalue", "default"},
		config: asAlice + `observer: observer-0, metadata: {observer.period: 1s, observer.resetTraffic: true}}
observers:
- {name: observer-0, plugin: $PLUGIN}
`,
		visits: []visit{{here, "$ADDR", get("http://$ORIGIN/", credentials, "Connection: close\r\n"), ok}},
		told:   "alice",
	},
}

const forbidden = "HTTP/1.1 403 Forbidden\r\n"

// TestServe lets GOST ask pluginserver, which checks the configs, and then components that `drawspan plugin serve` serves.
func TestServe(t *testing.T) {
	origin := startOrigin(t)
	big := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write(make([]byte, 1_000_000))
	}))
	t.Cleanup(big.Close)
	_, port, _ := net.SplitHostPort(origin)

	for _, c := range consults {
		for _, protocol := range []string{"grpc", "http"} {
			run := func(t *testing.T, start func(addrs *strings.Replacer) (addr string, told func() string)) {
				t.Parallel() // much of it is waiting
				places := []string{"$ORIGIN", origin, "$PORT", port, "$BIG", big.URL}
				for _, place := range []string{"$ADDR", "$NODE", "$ENTRY", "$OTHER"} {
					places = append(places, place, unusedAddr(t))
				}
				addr, told := start(strings.NewReplacer(places...))
				places = append(places, "$PLUGIN", fmt.Sprintf("{type: %s, addr: '%s', token: gost, timeout: 10s}", protocol, addr))
				c.see(t, strings.NewReplacer(places...), told)
			}
			t.Run(c.name+"/"+protocol+"/pluginserver", func(t *testing.T) {
				var asked []record
				var told func() string
				run(t, func(addrs *strings.Replacer) (string, func() string) {
					server := startPluginserver(t, append(replaced(addrs, c.server), "-token", "gost")...)
					told = func() string {
						asked = append(asked, server.asked(t)...)
						return bodies(asked)
					}
					return server.plugin(protocol, c.module), told
				})
				told()
				checkGolden(t, c.name+"_"+protocol, asked)
			})
			t.Run(c.name+"/"+protocol+"/drawspan", func(t *testing.T) {
				binary, guest := drawspanBinary(t), guestOf(t, c.module)
				run(t, func(addrs *strings.Replacer) (string, func() string) {
					return startServe(t, binary, guest, protocol, c.module, replaced(addrs, c.serve))
				})
			})
		}
	}
}

// served runs a check against pluginserver and against a component, over both protocols.
func served(t *testing.T, module string, flags []string, check func(t *testing.T, protocol, addr string)) {
	for _, protocol := range []string{"grpc", "http"} {
		t.Run(protocol+"/pluginserver", func(t *testing.T) {
			check(t, protocol, startPluginserver(t, "-token", "gost").plugin(protocol, module))
		})
		t.Run(protocol+"/drawspan", func(t *testing.T) {
			addr, _ := startServe(t, drawspanBinary(t), guestOf(t, module), protocol, module, flags)
			check(t, protocol, addr)
		})
	}
}

// TestServeRoutes asks for routes by GOST's own client.
func TestServeRoutes(t *testing.T) {
	served(t, "router", []string{"--config", "routes=192.0.2.0/24=gateway-0"}, func(t *testing.T, protocol, addr string) {
		plugins := newGostPlugins(t, protocol, func(string) string { return addr })
		for _, c := range calls {
			if c.module != "router" {
				continue
			}
			if got, err := json.Marshal(c.gost(plugins)); err != nil || !sameJSON(got, c.reply) {
				t.Errorf("%s: %s, want %s", c.name, got, c.reply)
			}
		}
	})
}

// TestServeRewrites asks by the client of a newer GOST.
func TestServeRewrites(t *testing.T) {
	flags := []string{"--config", "replace=old => new\ngone =>"}
	served(t, "rewriter", flags, func(t *testing.T, protocol, addr string) {
		for _, c := range calls {
			if c.module != "rewriter" {
				continue
			}
			if got, err := exec.Command(newer, protocol, addr, c.name).Output(); err != nil || !sameJSON(got, c.replyOver(protocol)) {
				t.Errorf("%s: %s, want %s: %v", c.name, got, c.replyOver(protocol), err)
			}
		}
	})
}

// TestServeFailures lets GOST ask components that fail: nobody is let in, nothing is sent past a bypass or a chain, and nothing else
// comes to a stop.
func TestServeFailures(t *testing.T) {
	origin := startOrigin(t)
	_, port, _ := net.SplitHostPort(origin)
	for _, f := range []struct{ module, function, want string }{
		{"auther", "authenticator.authenticate", unauthorized},
		{"admission", "admission.admit", "closed"},
		{"bypass", "bypass.contains", forbidden},
		{"hop", "hop.select", unavailable},
		{"limiter", "traffic-limiter.limit", ok},
		{"hosts", "host-mapper.lookup", ok},
		{"resolver", "resolver.resolve", unavailable},
		{"recorder", "recorder.write", ok},
		{"observer", "observer.observe", ok},
	} {
		c := consults[slices.IndexFunc(consults, func(c consult) bool { return c.module == f.module })]
		c = consult{config: c.config, visits: []visit{{here, "$ADDR", get("http://$ORIGIN/", credentials, "Connection: close\r\n"), f.want}}}
		for _, protocol := range []string{"grpc", "http"} {
			for name, answer := range map[string]string{"trap": `"Trap"`, "failed": `{"Error":{"Failed":"on purpose"}}`} {
				t.Run(f.module+"/"+protocol+"/"+name, func(t *testing.T) {
					t.Parallel() // much of it is waiting
					places := []string{"$ORIGIN", origin, "$PORT", port}
					for _, place := range []string{"$ADDR", "$NODE", "$ENTRY", "$OTHER"} {
						places = append(places, place, unusedAddr(t))
					}
					script := f.function + `={"answer":` + answer + `}`
					addr, told := startServe(t, drawspanBinary(t), "../guests/prebuilt/scripted.wasm", protocol, f.module, []string{"--config", script})
					places = append(places, "$PLUGIN", fmt.Sprintf("{type: %s, addr: '%s', token: gost, timeout: 10s}", protocol, addr))
					c.see(t, strings.NewReplacer(places...), told)
					eventually(t, "the failure to be logged", nil, func() bool { return strings.Contains(told(), `"level":"error"`) })
				})
			}
		}
	}
	t.Run("rewriter", func(t *testing.T) {
		for _, protocol := range []string{"grpc", "http"} {
			addr, _ := startServe(t, drawspanBinary(t), "../guests/prebuilt/scripted.wasm", protocol, "rewriter", []string{"--config", `rewriter.rewrite={"answer":"Trap"}`})
			// It would be an error if GOST's exchange ended here.
			if got, err := exec.Command(newer, protocol, addr, "rewrite").Output(); err != nil || !sameJSON(got, "null") {
				t.Errorf("%s: a failure becomes %s: %v", protocol, got, err)
			}
		}
	})
}

// TestServeTLS lets GOST ask a component over TLS.
func TestServeTLS(t *testing.T) {
	origin := startOrigin(t)
	c := consults[slices.IndexFunc(consults, func(c consult) bool { return c.module == "auther" })]
	for _, protocol := range []string{"grpc", "http"} {
		t.Run(protocol, func(t *testing.T) {
			cert, key := trusted(t)
			flags := append([]string{"--tls-cert", cert, "--tls-key", key}, c.serve...)
			addr, told := startServe(t, drawspanBinary(t), guestOf(t, "auther"), protocol, "auther", flags)
			addr = strings.Replace(addr, "http://", "https://", 1)
			plugin := fmt.Sprintf("{type: %s, addr: '%s', token: gost, tls: {secure: true}, timeout: 10s}", protocol, addr)
			c.see(t, strings.NewReplacer("$ORIGIN", origin, "$ADDR", unusedAddr(t), "$PLUGIN", plugin), told)
		})
	}
}

// TestServeToken presents the wrong token, over gRPC because stable GOST presents none over HTTP.
func TestServeToken(t *testing.T) {
	allowed := func(t *testing.T, addr string) any {
		plugins := newGostPlugins(t, "grpc", func(string) string { return addr })
		return plugins.authenticate(nobody, "alice", "wonder")
	}
	flags := []string{"-user", "alice", "-password", "wonder", "-token"}
	t.Run("pluginserver", func(t *testing.T) {
		right, wrong := startPluginserver(t, append(flags, "gost")...), startPluginserver(t, append(flags, "tsog")...)
		if allowed(t, right.grpc) == nil || allowed(t, wrong.grpc) != nil {
			t.Error("the token doesn't decide")
		}
	})
	t.Run("drawspan", func(t *testing.T) {
		binary, guest := drawspanBinary(t), guestOf(t, "auther")
		users := []string{"--config", "users=alice:wonder", "--token"}
		right, _ := startServe(t, binary, guest, "grpc", "auther", append(users, "gost"))
		wrong, _ := startServe(t, binary, guest, "grpc", "auther", append(users, "tsog"))
		if allowed(t, right) == nil || allowed(t, wrong) != nil {
			t.Error("the token doesn't decide")
		}
		bearer, _ := startServe(t, binary, guest, "http", "auther", append(users, "gost"))
		response, err := http.Post(bearer, "application/json", strings.NewReader(`{"username":"alice","password":"wonder"}`))
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode == http.StatusOK {
			t.Error("HTTP needs no token")
		}
	})
}

// see runs GOST with the config and looks for everything that the plugin's answers lead to.
func (c consult) see(t *testing.T, addrs *strings.Replacer, told func() string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "gost.yaml")
	if err := os.WriteFile(file, []byte(addrs.Replace(addrs.Replace(c.config))), 0o600); err != nil {
		t.Fatal(err)
	}
	visited := []string{"$ADDR"}
	for _, v := range c.visits {
		visited = append(visited, v.to)
	}
	isForAlice := strings.HasPrefix(c.config, asAlice)
	if isForAlice {
		visited = append(visited, "$OTHER")
	}
	slices.Sort(visited)
	startGateway(t, gostpeer, file, replaced(addrs, slices.Compact(visited))...)
	if isForAlice {
		eventually(t, "alice to be known", nil, func() bool {
			return strings.HasPrefix(talk(t, addrs.Replace("$OTHER"), []string{get("http://$ORIGIN/", credentials)}, addrs)[0], ok)
		})
	}
	for i, v := range c.visits {
		answer := func() string {
			return talkFrom(t, v.from, addrs.Replace(v.to), []string{v.send}, addrs)[0]
		}
		if c.settles && i == 0 {
			eventually(t, "the first visit to succeed", nil, func() bool {
				told() // so that pluginserver doesn't wait until its log is read
				return strings.HasPrefix(answer(), v.want)
			})
		} else if got := answer(); !strings.HasPrefix(got, v.want) {
			t.Errorf("%q from %s is answered %q, want %q", v.send, v.from, got, v.want)
		}
	}
	if c.slower > 0 {
		start := time.Now()
		conn, err := net.Dial("tcp", addrs.Replace("$ADDR"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(start.Add(deadline))
		io.WriteString(conn, addrs.Replace(get("$BIG/", credentials, "Connection: close\r\n")))
		if length, err := io.CopyN(io.Discard, conn, 1_000_000); err != nil {
			t.Errorf("%d bytes of a download: %v", length, err)
		} else if took := time.Since(start); took < c.slower {
			t.Errorf("a download took %v only: it isn't limited", took)
		}
	}
	if c.told != "" {
		eventually(t, "the plugin to be told of "+c.told, nil, func() bool { return strings.Contains(told(), c.told) })
	}
}

func replaced(addrs *strings.Replacer, texts []string) (all []string) {
	for _, text := range texts {
		all = append(all, addrs.Replace(text))
	}
	return all
}

// bodies puts together what pluginserver was told, bytes decoded.
func bodies(asked []record) (all string) {
	for _, request := range asked {
		var recorded struct{ Data []byte }
		if json.Unmarshal([]byte(request.Body), &recorded) == nil && recorded.Data != nil {
			all += string(recorded.Data)
		} else {
			all += request.Body
		}
	}
	return all
}

// guestOf is the component among the examples that answers a module.
func guestOf(t *testing.T, module string) string {
	if module == "auther" {
		module = "authenticator"
	}
	pattern := "../../guest-examples/" + module + "-rust/*.wasm"
	files, _ := filepath.Glob(pattern)
	switch {
	case len(files) > 0:
		return files[0]
	case os.Getenv("CI") == "true":
		t.Fatalf("no component %s", pattern)
	default:
		t.Skipf("no component %s", pattern)
	}
	return ""
}

var listening = regexp.MustCompile(`listening on ([^ "]+)/(?:grpc|http)`)

// startServe runs `drawspan plugin serve`; told is what it logs. Stable GOST sends no token over HTTP.
func startServe(t *testing.T, binary, guest, protocol, module string, flags []string) (addr string, told func() string) {
	t.Helper()
	args := append([]string{"plugin", "serve", guest, "--" + protocol, "127.0.0.1:0"}, flags...)
	if protocol == "grpc" && !slices.Contains(flags, "--token") {
		args = append(args, "--token", "gost")
	}
	stderr, exited := start(t, nil, binary, args...)
	eventually(t, "drawspan plugin serve to listen", exited, func() bool {
		found := listening.FindStringSubmatch(stderr.String())
		if found != nil {
			addr = found[1]
		}
		return found != nil
	})
	if protocol == "http" {
		addr = "http://" + addr + "/" + module
	}
	return addr, stderr.String
}
