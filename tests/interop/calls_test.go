package interop

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"os/exec"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-gost/core/admission"
	"github.com/go-gost/core/bypass"
	"github.com/go-gost/core/hop"
	"github.com/go-gost/core/ingress"
	"github.com/go-gost/core/limiter"
	"github.com/go-gost/core/router"
	"github.com/go-gost/core/sd"
	"github.com/go-gost/x/observer/stats"
	"github.com/go-gost/x/service"
)

// call is a question to pluginserver, in every form that it takes.
type call struct {
	name     string // and after a slash what is special
	module   string
	function string // left away if the module has but one
	request  string // of `drawspan plugin call`
	reply    string // of the same
	failure  string // the kind of error in place of a reply

	rpc     string // over gRPC: /proto.…
	message string // with all its fields

	method string // over HTTP; POST if left away
	query  string
	body   string

	replyHTTP string                // if it can't be the same over HTTP
	gost      func(gostPlugins) any // GOST's own client asks the same; nil if stable GOST can't
	stable    []string              // what the fields that stable GOST doesn't have yet become there: old, new, …
	newer     bool                  // a newer GOST's client asks it too: what stable GOST can't say
	noHTTP    bool                  // not asked over HTTP
}

const (
	person  = `"gøst-用户-🙂"`
	secret  = `"pä:ss \"wörd\\"`
	node    = `{"name":"node-0","addr":"192.0.2.1:8080","connector":{"type":"http"},"dialer":{"type":"tcp"}}`
	tunnel  = "4d21094e-b74c-4916-86c1-d9fa36ea677b"
	print64 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
)

// In this order, because some change what later ones are answered.
var calls = []call{
	{
		name: "authenticate", newer: true, module: "auther", rpc: "/proto.Authenticator/Authenticate",
		request: `{"username":` + person + `,"password":` + secret + `,"client_address":"192.0.2.7:41806","service":"service-0","certificate":null}`,
		reply:   `{"client_id":` + person + `}`,
		message: `{"username":` + person + `,"password":` + secret + `,"client":"192.0.2.7:41806","service":"service-0","client_cn":"","client_san":[],"client_cert_fingerprint":""}`,
		body:    `{"service":"service-0","username":` + person + `,"password":` + secret + `,"client":"192.0.2.7:41806"}`,
		gost:    func(g gostPlugins) any { return g.authenticate(alice, unquote(person), unquote(secret)) },
	},
	{
		name: "authenticate/no credentials", newer: true, module: "auther", rpc: "/proto.Authenticator/Authenticate",
		request: `{"username":"","password":"","service":"service-0"}`,
		reply:   `null`,
		message: `{"username":"","password":"","client":"","service":"service-0","client_cn":"","client_san":[],"client_cert_fingerprint":""}`,
		body:    `{"service":"service-0","username":"","password":"","client":""}`,
		gost:    func(g gostPlugins) any { return g.authenticate(nobody, "", "") },
	},
	{
		name: "authenticate/certificate", newer: true, module: "auther", rpc: "/proto.Authenticator/Authenticate",
		request: `{"username":"u","password":"p","client_address":"[2001:db8::7]:1","service":"@api","certificate":{"common_name":"cn","alternative_names":["a.test","a@b.test"],"fingerprint":"` + print64 + `"}}`,
		reply:   `null`,
		message: `{"username":"u","password":"p","client":"[2001:db8::7]:1","service":"@api","client_cn":"cn","client_san":["a.test","a@b.test"],"client_cert_fingerprint":"` + print64 + `"}`,
		body:    `{"service":"@api","username":"u","password":"p","client":"[2001:db8::7]:1","clientCn":"cn","clientSan":["a.test","a@b.test"],"clientCertFingerprint":"` + print64 + `"}`,
	},
	{
		name: "authenticate/broken", module: "auther", rpc: "/proto.Authenticator/Authenticate",
		request: `{"username":"broken","password":"","service":"service-0"}`,
		failure: "refused",
		message: `{"username":"broken","password":"","client":"","service":"service-0","client_cn":"","client_san":[],"client_cert_fingerprint":""}`,
		body:    `{"service":"service-0","username":"broken","password":"","client":""}`,
		gost:    func(g gostPlugins) any { return g.authenticate(nobody, "broken", "") },
	},
	{
		name: "admit", newer: true, module: "admission", rpc: "/proto.Admission/Admit",
		request: `{"network":"tcp","client_address":"192.0.2.7:41806","service":"service-0"}`,
		reply:   `"Admitted"`,
		message: `{"addr":"192.0.2.7:41806","service":"service-0","network":"tcp"}`,
		body:    `{"service":"service-0","network":"tcp","addr":"192.0.2.7:41806"}`,
		stable:  []string{`"network":"tcp",`, ``, `"network":"tcp"`, `"network":""`},
		gost:    func(g gostPlugins) any { return g.admit("192.0.2.7:41806", admission.WithService("service-0")) },
	},
	{
		name: "admit/denied", newer: true, module: "admission", rpc: "/proto.Admission/Admit",
		request: `{"network":"ip","client_address":"192.0.2.66","service":null}`,
		reply:   `"Denied"`,
		message: `{"addr":"192.0.2.66","service":"","network":"ip"}`,
		body:    `{"service":"","network":"ip","addr":"192.0.2.66"}`,
		stable:  []string{`"network":"ip",`, ``, `"network":"ip"`, `"network":""`},
		gost:    func(g gostPlugins) any { return g.admit("192.0.2.66") },
	},
	{
		name: "contains", module: "bypass", rpc: "/proto.Bypass/Bypass",
		request: `{"network":"tcp","target_address":"example.blocked:443","host":null,"path":"/a?b=c","client_id":"alice","service":"service-0"}`,
		reply:   `"Matched"`,
		message: `{"addr":"example.blocked:443","client":"alice","network":"tcp","host":"","path":"/a?b=c","service":"service-0"}`,
		body:    `{"service":"service-0","network":"tcp","addr":"example.blocked:443","client":"alice","host":"","path":"/a?b=c"}`,
		gost: func(g gostPlugins) any {
			return g.contains(alice, "example.blocked:443", bypass.WithService("service-0"), bypass.WithPathOption("/a?b=c"))
		},
	},
	{
		name: "contains/unmatched", module: "bypass", rpc: "/proto.Bypass/Bypass",
		request: `{"network":"tcp","target_address":"192.0.2.1:443","host":"example.org:443"}`,
		reply:   `"Unmatched"`,
		message: `{"addr":"192.0.2.1:443","client":"","network":"tcp","host":"example.org:443","path":"","service":""}`,
		body:    `{"service":"","network":"tcp","addr":"192.0.2.1:443","client":"","host":"example.org:443","path":""}`,
		gost: func(g gostPlugins) any {
			return g.contains(nobody, "192.0.2.1:443", bypass.WithHostOpton("example.org:443"))
		},
	},
	{
		name: "select", module: "hop", rpc: "/proto.Hop/Select",
		request: `{"network":"tcp","target_address":"192.0.2.9:443","host":"example.org:443","path":"/p","client_id":"alice","source_address":"192.0.2.7:41806"}`,
		reply:   quote(node),
		message: `{"network":"tcp","addr":"192.0.2.9:443","host":"example.org:443","client":"alice","path":"/p","src":"192.0.2.7:41806"}`,
		body:    `{"network":"tcp","addr":"192.0.2.9:443","host":"example.org:443","path":"/p","client":"alice","src":"192.0.2.7:41806"}`,
		gost: func(g gostPlugins) any {
			return g.selectNode(alice, hop.NetworkSelectOption("tcp"), hop.AddrSelectOption("192.0.2.9:443"),
				hop.HostSelectOption("example.org:443"), hop.PathSelectOption("/p"))
		},
	},
	{
		name: "select/none", module: "hop", rpc: "/proto.Hop/Select",
		request: `{"host":"example.direct:443"}`,
		reply:   `null`,
		message: `{"network":"","addr":"","host":"example.direct:443","client":"","path":"","src":""}`,
		body:    `{"network":"","addr":"","host":"example.direct:443","path":"","client":"","src":""}`,
		gost:    func(g gostPlugins) any { return g.selectNode(nobody, hop.HostSelectOption("example.direct:443")) },
	},
	{
		name: "limit/connection", module: "limiter", rpc: "/proto.Limiter/Limit",
		request: `{"scope":"Connection","service":"service-0","network":"tcp","source_address":"192.0.2.7:41806"}`,
		reply:   `{"upload":1048576,"download":262144}`,
		message: `{"network":"tcp","addr":"","client":"","src":"192.0.2.7:41806","service":"service-0","scope":"conn"}`,
		body:    `{"service":"service-0","scope":"conn","network":"tcp","addr":"","client":"","src":"192.0.2.7:41806"}`,
		gost: func(g gostPlugins) any {
			return g.limit(limiter.ScopeOption("conn"), limiter.ServiceOption("service-0"), limiter.NetworkOption("tcp"),
				limiter.SrcOption("192.0.2.7:41806"))
		},
	},
	{
		name: "limit/service", module: "limiter", rpc: "/proto.Limiter/Limit",
		request: `{"scope":"Service","service":"service-0","network":"udp"}`,
		reply:   `{"upload":null,"download":null}`,
		message: `{"network":"udp","addr":"","client":"","src":"","service":"service-0","scope":"service"}`,
		body:    `{"service":"service-0","scope":"service","network":"udp","addr":"","client":"","src":""}`,
		gost: func(g gostPlugins) any {
			return g.limit(limiter.ScopeOption("service"), limiter.ServiceOption("service-0"), limiter.NetworkOption("udp"))
		},
	},
	{
		name: "limit/client", module: "limiter", rpc: "/proto.Limiter/Limit",
		request: `{"scope":"Client","service":"service-0","network":"tcp","target_address":"example.org:443","client_id":"alice","source_address":"192.0.2.7:41806"}`,
		reply:   `{"upload":null,"download":500000}`,
		message: `{"network":"tcp","addr":"example.org:443","client":"alice","src":"192.0.2.7:41806","service":"service-0","scope":"client"}`,
		body:    `{"service":"service-0","scope":"client","network":"tcp","addr":"example.org:443","client":"alice","src":"192.0.2.7:41806"}`,
		gost: func(g gostPlugins) any {
			return g.limit(limiter.ScopeOption("client"), limiter.ServiceOption("service-0"), limiter.NetworkOption("tcp"),
				limiter.AddrOption("example.org:443"), limiter.ClientOption("alice"), limiter.SrcOption("192.0.2.7:41806"))
		},
	},
	{
		name: "lookup", module: "hosts", rpc: "/proto.HostMapper/Lookup",
		request: `{"family":"Any","host":"mapped.test","client_id":"alice"}`,
		reply:   `["127.0.0.1","::1"]`,
		message: `{"network":"ip","host":"mapped.test","client":"alice"}`,
		body:    `{"network":"ip","host":"mapped.test","client":"alice"}`,
		gost:    func(g gostPlugins) any { return g.lookup(alice, "ip", "mapped.test") },
	},
	{
		name: "lookup/none", module: "hosts", rpc: "/proto.HostMapper/Lookup",
		request: `{"family":"Ipv4","host":"192.0.2.1"}`,
		reply:   `[]`,
		message: `{"network":"ip4","host":"192.0.2.1","client":""}`,
		body:    `{"network":"ip4","host":"192.0.2.1","client":""}`,
		gost:    func(g gostPlugins) any { return g.lookup(nobody, "ip4", "192.0.2.1") },
	},
	{
		name: "resolve", module: "resolver", rpc: "/proto.Resolver/Resolve",
		request: `{"family":"Ipv6","host":"resolved.test","client_id":"alice"}`,
		reply:   `["::1"]`,
		message: `{"network":"ip6","host":"resolved.test","client":"alice"}`,
		body:    `{"network":"ip6","host":"resolved.test","client":"alice"}`,
		gost:    func(g gostPlugins) any { return g.resolve(alice, "ip6", "resolved.test") },
	},
	{
		name: "resolve/none", module: "resolver", rpc: "/proto.Resolver/Resolve",
		request: `{"family":"Any","host":"nowhere.test"}`,
		reply:   `[]`,
		message: `{"network":"ip","host":"nowhere.test","client":""}`,
		body:    `{"network":"ip","host":"nowhere.test","client":""}`,
		gost:    func(g gostPlugins) any { return g.resolve(nobody, "ip", "nowhere.test") },
	},
	{
		name: "get-rule", module: "ingress", function: "get-rule", rpc: "/proto.Ingress/GetRule",
		request: `{"host":"public.test:80","service":"service-0"}`,
		reply:   `"` + tunnel + `"`,
		message: `{"host":"public.test:80","service":"service-0"}`,
		method:  "GET", query: "host=public.test%3A80&service=service-0",
		gost: func(g gostPlugins) any { return g.getRule("public.test:80", ingress.WithService("service-0")) },
	},
	{
		name: "get-rule/none", module: "ingress", function: "get-rule", rpc: "/proto.Ingress/GetRule",
		request: `{"host":"a b&c.test"}`,
		reply:   `null`,
		message: `{"host":"a b&c.test","service":""}`,
		method:  "GET", query: "host=a+b%26c.test",
		gost: func(g gostPlugins) any { return g.getRule("a b&c.test") },
	},
	{
		name: "set-rule", module: "ingress", function: "set-rule", rpc: "/proto.Ingress/SetRule",
		request: `{"host":"new.test","endpoint":"$` + tunnel + `","service":"service-0"}`,
		reply:   `null`,
		message: `{"host":"new.test","endpoint":"$` + tunnel + `","service":"service-0"}`,
		method:  "PUT", body: `{"service":"service-0","host":"new.test","endpoint":"$` + tunnel + `"}`,
		gost: func(g gostPlugins) any { return g.setRule("new.test", "$"+tunnel, ingress.WithService("service-0")) },
	},
	{
		name: "get-rule/set before", module: "ingress", function: "get-rule", rpc: "/proto.Ingress/GetRule",
		request: `{"host":"new.test"}`,
		reply:   `"$` + tunnel + `"`,
		message: `{"host":"new.test","service":""}`,
		method:  "GET", query: "host=new.test",
		gost: func(g gostPlugins) any { return g.getRule("new.test") },
	},
	{
		name: "get-route", module: "router", rpc: "/proto.Router/GetRoute",
		request: `{"destination":"192.0.2.9","router_id":"` + tunnel + `"}`,
		reply:   `{"destination":"192.0.2.0/24","gateway":"gateway-0"}`,
		message: `{"dst":"192.0.2.9","id":"` + tunnel + `"}`,
		method:  "GET", query: "dst=192.0.2.9&id=" + tunnel,
		gost: func(g gostPlugins) any { return g.getRoute("192.0.2.9", router.IDOption(tunnel)) },
	},
	{
		name: "get-route/none", module: "router", rpc: "/proto.Router/GetRoute",
		request: `{"destination":"2001:db8::1"}`,
		reply:   `null`,
		message: `{"dst":"2001:db8::1","id":""}`,
		method:  "GET", query: "dst=2001%3Adb8%3A%3A1",
		gost: func(g gostPlugins) any { return g.getRoute("2001:db8::1") },
	},
	{
		name: "register", module: "sd", function: "register", rpc: "/proto.SD/Register",
		request: `{"id":"c1","name":"t1","node":"n1","network":"tcp","address":"192.0.2.1:8080"}`,
		reply:   `null`,
		message: `{"service":{"id":"c1","name":"t1","node":"n1","network":"tcp","address":"192.0.2.1:8080"}}`,
		body:    `{"id":"c1","name":"t1","node":"n1","network":"tcp","address":"192.0.2.1:8080"}`,
		gost: func(g gostPlugins) any {
			return done(g.sd.Register(nobody, &sd.Service{ID: "c1", Name: "t1", Node: "n1", Network: "tcp", Address: "192.0.2.1:8080"}))
		},
	},
	{
		name: "renew", module: "sd", function: "renew", rpc: "/proto.SD/Renew",
		request: `{"id":"c1","name":"t1","node":"n1"}`,
		reply:   `null`,
		message: `{"service":{"id":"c1","name":"t1","node":"n1","network":"","address":""}}`,
		method:  "PUT", body: `{"id":"c1","name":"t1","node":"n1","network":"","address":""}`,
		gost: func(g gostPlugins) any {
			return done(g.sd.Renew(nobody, &sd.Service{ID: "c1", Name: "t1", Node: "n1"}))
		},
	},
	{
		name: "get-services", module: "sd", function: "get-services", rpc: "/proto.SD/Get",
		request: `{"name":"t1"}`,
		reply:   `[{"id":"c1","name":"t1","node":"n1","network":"tcp","address":"192.0.2.1:8080"}]`,
		message: `{"name":"t1"}`,
		method:  "GET", query: "name=t1",
		gost: func(g gostPlugins) any { return g.getServices("t1") },
	},
	{
		name: "deregister", module: "sd", function: "deregister", rpc: "/proto.SD/Deregister",
		request: `{"id":"c1","name":"t1","node":"n1"}`,
		reply:   `null`,
		message: `{"service":{"id":"c1","name":"t1","node":"n1","network":"","address":""}}`,
		method:  "DELETE", body: `{"id":"c1","name":"t1","node":"n1","network":"","address":""}`,
		gost: func(g gostPlugins) any {
			return done(g.sd.Deregister(nobody, &sd.Service{ID: "c1", Name: "t1", Node: "n1"}))
		},
	},
	{
		name: "get-services/none", module: "sd", function: "get-services", rpc: "/proto.SD/Get",
		request: `{"name":"t1"}`,
		reply:   `[]`,
		message: `{"name":"t1"}`,
		method:  "GET", query: "name=t1",
		gost: func(g gostPlugins) any { return g.getServices("t1") },
	},
	{
		name: "write", newer: true, module: "recorder", rpc: "/proto.Recorder/Record",
		request: `{"data":"AP8gZg==","metadata":"{\"k\":\"v\"}"}`,
		reply:   `null`,
		message: `{"data":"AP8gZg==","metadata":"eyJrIjoidiJ9"}`,
		body:    `{"data":"AP8gZg==","metadata":"eyJrIjoidiJ9"}`,
		gost:    func(g gostPlugins) any { return g.write("AP8gZg==", object{"k": "v"}) },
	},
	{
		name: "write/refused", newer: true, module: "recorder", rpc: "/proto.Recorder/Record",
		request: `{"data":"cmVmdXNlZA=="}`,
		failure: "refused",
		message: `{"data":"cmVmdXNlZA==","metadata":"bnVsbA=="}`,
		body:    `{"data":"cmVmdXNlZA==","metadata":"bnVsbA=="}`,
		gost:    func(g gostPlugins) any { return g.write("cmVmdXNlZA==", nil) },
	},
	{
		// GOST has nothing to send then, and sends it over gRPC only.
		name: "write/nothing", newer: true, module: "recorder", rpc: "/proto.Recorder/Record",
		request: `{"data":""}`,
		reply:   `null`,
		message: `{"data":"","metadata":"bnVsbA=="}`,
		noHTTP:  true,
		gost:    func(g gostPlugins) any { return g.write("", nil) },
	},
	{
		name: "observe", module: "observer", rpc: "/proto.Observer/Observe",
		request: `{"events":[{"source":"Handler","service":"service-0","client_id":"alice","detail":{"Stats":{"total_connections":1,"current_connections":18446744073709551615,"input_bytes":3,"output_bytes":4,"total_errors":5}}},` +
			`{"source":"Service","service":"service-1","client_id":null,"detail":{"Status":{"state":"Ready","message":"it is ready"}}}]}`,
		reply: `null`,
		message: `{"events":[{"kind":"handler","service":"service-0","client":"alice","type":"stats","stats":{"totalConns":"1","currentConns":"18446744073709551615","inputBytes":"3","outputBytes":"4","totalErrs":"5"},"status":null},` +
			`{"kind":"service","service":"service-1","client":"","type":"status","stats":null,"status":{"state":"ready","msg":"it is ready"}}]}`,
		body: `{"events":[{"kind":"handler","service":"service-0","client":"alice","type":"stats","stats":{"totalConns":1,"currentConns":18446744073709551615,"inputBytes":3,"outputBytes":4,"totalErrs":5}},` +
			`{"kind":"service","service":"service-1","type":"status","status":{"state":"ready","msg":"it is ready"}}]}`,
		gost: func(g gostPlugins) any {
			return g.observe(
				stats.StatsEvent{Kind: "handler", Service: "service-0", Client: "alice",
					TotalConns: 1, CurrentConns: 1<<64 - 1, InputBytes: 3, OutputBytes: 4, TotalErrs: 5},
				service.ServiceEvent{Kind: "service", Service: "service-1", State: "ready", Msg: "it is ready"})
		},
	},
	{
		name: "observe/refused", module: "observer", rpc: "/proto.Observer/Observe",
		request: `{"events":[{"source":"Service","service":"refused","client_id":null,"detail":{"Status":{"state":"Closed","message":""}}}]}`,
		failure: "refused",
		message: `{"events":[{"kind":"service","service":"refused","client":"","type":"status","stats":null,"status":{"state":"closed","msg":""}}]}`,
		body:    `{"events":[{"kind":"service","service":"refused","type":"status","status":{"state":"closed","msg":""}}]}`,
		gost: func(g gostPlugins) any {
			return g.observe(service.ServiceEvent{Kind: "service", Service: "refused", State: "closed"})
		},
	},
	{
		name: "rewrite", newer: true, module: "rewriter", rpc: "/proto.Rewriter/Rewrite",
		request: `{"data":"dGhlIG9sZCBvbmU=","metadata":"{\"direction\":\"response\"}"}`,
		reply:   `"dGhlIG5ldyBvbmU="`,
		message: `{"data":"dGhlIG9sZCBvbmU=","metadata":"eyJkaXJlY3Rpb24iOiJyZXNwb25zZSJ9"}`,
		body:    `{"data":"dGhlIG9sZCBvbmU=","metadata":"eyJkaXJlY3Rpb24iOiJyZXNwb25zZSJ9"}`,
	},
	{
		name: "rewrite/unchanged", newer: true, module: "rewriter", rpc: "/proto.Rewriter/Rewrite",
		request: `{"data":"b3RoZXI=","metadata":"{}"}`,
		reply:   `null`,
		message: `{"data":"b3RoZXI=","metadata":"e30="}`,
		body:    `{"data":"b3RoZXI=","metadata":"e30="}`,
	},
	{
		name: "rewrite/emptied", newer: true, module: "rewriter", rpc: "/proto.Rewriter/Rewrite",
		request:   `{"data":"Z29uZQ==","metadata":"{}"}`,
		reply:     `null`, // gRPC can't tell empty bytes from none
		replyHTTP: `""`,
		message:   `{"data":"Z29uZQ==","metadata":"e30="}`,
		body:      `{"data":"Z29uZQ==","metadata":"e30="}`,
	},
	{
		name: "rewrite/nothing", newer: true, module: "rewriter", rpc: "/proto.Rewriter/Rewrite",
		request: `{"data":"","metadata":"{}"}`,
		reply:   `null`,
		message: `{"data":"","metadata":"e30="}`,
		body:    `{"data":null,"metadata":"e30="}`,
	},
}

// TestCalls asks pluginserver every question, first by GOST's own clients, which checks the table, then by drawspan's.
func TestCalls(t *testing.T) {
	for _, protocol := range []string{"grpc", "http"} {
		t.Run(protocol, func(t *testing.T) {
			flags := []string{"-token", "gost", "-user", unquote(person), "-password", unquote(secret)}
			server := startPluginserver(t, flags...)
			plugins := newGostPlugins(t, protocol, func(module string) string { return server.plugin(protocol, module) })
			for _, c := range calls {
				if c.gost == nil {
					continue
				}
				reply := c.gost(plugins)
				if err, failed := reply.(error); failed {
					if c.failure == "" {
						t.Errorf("%s: GOST: %v", c.name, err)
					}
				} else if got, err := json.Marshal(reply); c.failure == "" && (err != nil || !sameJSON(got, c.replyOver(protocol))) {
					t.Errorf("%s: GOST understands %s, want %s", c.name, got, c.replyOver(protocol))
				}
				c.expect(t, "GOST", protocol, server.asked(t), strings.NewReplacer(c.stable...))
			}

			t.Run("drawspan", func(t *testing.T) {
				binary := drawspanBinary(t)
				expectAll(t, binary)
				server := startPluginserver(t, flags...)
				for _, c := range calls {
					url := server.plugin(protocol, c.module)
					if protocol == "grpc" {
						url = "grpc://" + url
					}
					got := askPlugin(t, binary, c, url, "--token", "gost")
					if got.Error.Kind != c.failure || (c.failure == "" && !sameJSON(got.Reply, c.replyOver(protocol))) {
						t.Errorf("%s: drawspan understands %s %+v, want %s%s", c.name, got.Reply, got.Error, c.replyOver(protocol), c.failure)
					}
					asked := server.asked(t)
					c.expect(t, "drawspan", protocol, asked, strings.NewReplacer())
					c.expectBearer(t, "drawspan", asked)
				}
			})

			t.Run("newer", func(t *testing.T) {
				server := startPluginserver(t, flags...)
				for _, c := range calls {
					if !c.newer {
						continue
					}
					got, err := exec.Command(newer, protocol, server.plugin(protocol, c.module), c.name).Output()
					if (err != nil) != (c.failure != "" && c.module != "auther") || (err == nil && c.failure == "" && !sameJSON(got, c.replyOver(protocol))) {
						t.Errorf("%s: a newer GOST understands %s %v, want %s%s", c.name, got, err, c.replyOver(protocol), c.failure)
					}
					asked := server.asked(t)
					c.expect(t, "a newer GOST", protocol, asked, strings.NewReplacer())
					c.expectBearer(t, "a newer GOST", asked)
				}
			})
		})
	}
}

var function = regexp.MustCompile(`(?m)^\s*([a-z-]+): func\(`)

// expectAll checks that every call of the contract has a row.
func expectAll(t *testing.T, binary string) {
	t.Helper()
	contract, err := exec.Command(binary, "plugin", "wit").Output()
	found := function.FindAllStringSubmatch(string(contract), -1)
	if err != nil || len(found) == 0 {
		t.Fatalf("no contract: %v", err)
	}
	for _, f := range found {
		isAsked := func(c call) bool { name, _, _ := strings.Cut(c.name, "/"); return name == f[1] }
		// Modules don't ask `init`.
		if f[1] != "init" && !slices.ContainsFunc(calls, isAsked) {
			t.Errorf("no row asks %s", f[1])
		}
	}
}

// TestCallFailures is about what happens before a plugin's own code is asked.
func TestCallFailures(t *testing.T) {
	binary := drawspanBinary(t)
	server, down := startPluginserver(t, "-token", "gost"), unusedAddr(t)
	tls := startPluginserver(t, "-tls")
	for _, f := range []struct {
		name, addr string
		flags      []string
		kind       string
	}{
		{"wrong token", "grpc://" + server.grpc, []string{"--token", "tsog"}, "refused"},
		{"no token", "grpc://" + server.grpc, nil, "refused"},
		{"wrong path", "http://" + server.http + "/nothing", nil, "refused"},
		{"grpc down", "grpc://" + down, nil, "unavailable"},
		{"http down", "http://" + down + "/auther", nil, "unavailable"},
		{"no TLS there", "grpcs://" + server.grpc, []string{"--token", "gost"}, "unavailable"},
		// Connected, and then lost: nobody can tell from that whether the request was what did it.
		{"TLS there", "grpc://" + tls.grpc, nil, "bad_reply"},
		{"unknown issuer", "https://" + tls.http + "/auther", nil, "unavailable"},
		{"grpcs", "grpcs://" + tls.grpc, nil, ""},
	} {
		got := askPlugin(t, binary, calls[1], f.addr, f.flags...)
		if got.Error.Kind != f.kind || (f.kind != "" && got.Error.Reason == "") {
			t.Errorf("%s: %s %+v, want kind %q and a reason", f.name, got.Reply, got.Error, f.kind)
		}
	}
}

func (c call) replyOver(protocol string) string {
	if protocol == "http" && c.replyHTTP != "" {
		return c.replyHTTP
	}
	return c.reply
}

// expect checks what pluginserver got: to the letter, but for the headers that are known to differ. GOST asks its limiter
// twice, once per direction.
func (c call) expect(t *testing.T, who, protocol string, asked []record, stable *strings.Replacer) {
	t.Helper()
	want := record{"grpc", "POST", c.rpc, "", map[string][]string{"content-type": {"application/grpc"}, "token": {"gost"}}, c.message}
	if protocol == "http" {
		want = record{"http", c.method, "/" + c.module, c.query, map[string][]string{"Accept-Encoding": {"gzip"}, "Content-Type": {"application/json"}}, c.body}
		if want.Method == "" {
			want.Method = "POST"
		}
	}
	want.Body = stable.Replace(want.Body)
	if c.noHTTP && protocol == "http" {
		if len(asked) != 0 {
			t.Errorf("%s: %s asked %d times over HTTP", c.name, who, len(asked))
		}
		return
	}
	if len(asked) == 0 || (len(asked) > 1 && c.module != "limiter") {
		t.Errorf("%s: %s asked %d times", c.name, who, len(asked))
	}
	for _, got := range asked {
		got.Metadata = maps.Clone(got.Metadata)
		maps.DeleteFunc(got.Metadata, func(key string, _ []string) bool {
			_, ok := known[strings.ToLower(key)]
			return ok || key == ":authority"
		})
		if protocol == "grpc" {
			// The body is pluginserver's spelling of the message.
			got.Body, want.Body = canonical(got.Body), canonical(want.Body)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %s sends\n%s\nwant\n%s", c.name, who, pretty(got), pretty(want))
		}
	}
}

// expectBearer checks that the token reached an HTTP plugin, as drawspan and newer GOSTs send it.
func (c call) expectBearer(t *testing.T, who string, asked []record) {
	t.Helper()
	for _, request := range asked {
		if token := request.Metadata["Authorization"]; request.Protocol == "http" && !slices.Equal(token, []string{"Bearer gost"}) {
			t.Errorf("%s: %s sends the token as %q", c.name, who, token)
		}
	}
}

// TestQueries is about an address with a query of its own.
func TestQueries(t *testing.T) {
	server := startPluginserver(t)
	addr := func(module string) string { return server.plugin("http", module) + "?z=1&a=%2F+b" }
	plugins := newGostPlugins(t, "http", addr)
	for _, c := range calls {
		if c.gost == nil || c.noHTTP || c.failure != "" {
			continue
		}
		c.gost(plugins)
		gost := server.asked(t)
		t.Run(c.name, func(t *testing.T) {
			binary := drawspanBinary(t)
			askPlugin(t, binary, c, addr(c.module))
			for _, request := range server.asked(t) {
				if len(gost) == 0 || request.Query != gost[0].Query || request.Path != gost[0].Path || request.Method != gost[0].Method {
					t.Errorf("drawspan asks %s %s?%s, GOST %v", request.Method, request.Path, request.Query, gost)
				}
			}
		})
	}
}

type pluginAnswer struct {
	Reply json.RawMessage
	Error struct{ Kind, Reason string }
}

// askPlugin runs `drawspan plugin call`.
func askPlugin(t *testing.T, binary string, c call, addr string, flags ...string) (answer pluginAnswer) {
	t.Helper()
	args := append([]string{"plugin", "call", c.module, addr, "--json", c.request}, flags...)
	if c.function != "" {
		args = append(args, "--function", c.function)
	}
	var stderr bytes.Buffer
	command := exec.Command(binary, args...)
	command.Stderr = &stderr
	output, err := command.Output()
	if decodeError := json.Unmarshal(output, &answer); decodeError != nil {
		t.Fatalf("%s: %v: %s%s", c.name, err, output, stderr.String())
	}
	var exit *exec.ExitError
	if failed := errors.As(err, &exit) && exit.ExitCode() == 1; failed != (answer.Error.Kind != "") {
		t.Errorf("%s: %v with %s", c.name, err, output)
	}
	return answer
}

func sameJSON(got []byte, want string) bool { return canonical(string(got)) == canonical(want) }

// canonical sorts keys and spells everything in Go's way; numbers keep their digits.
func canonical(text string) string {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return text
	}
	spelled, _ := json.Marshal(value)
	return string(spelled)
}

func quote(text string) string {
	quoted, _ := json.Marshal(text)
	return string(quoted)
}

func unquote(text string) (unquoted string) {
	if err := json.Unmarshal([]byte(text), &unquoted); err != nil {
		panic(err)
	}
	return unquoted
}
