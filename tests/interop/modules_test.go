package interop

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// moduleServices are a service of each handler, all of whose modules are plugins; $E is a server that sends back what it is
// sent, $M one that sends datagrams back the other way round.
const moduleServices = `
services:
- {name: http, addr: $P0, $SERVICE, handler: {type: http, $HANDLER, metadata: {udp: true}}, listener: {type: tcp}}
- {name: socks4, addr: $P1, $SERVICE, handler: {type: socks4, $HANDLER}, listener: {type: tcp}}
- {name: socks5, addr: $P2, $SERVICE, handler: {type: socks5, $HANDLER, metadata: {udp: true, bind: true, notls: true}}, listener: {type: tcp}}
- {name: auto, addr: $P3, $SERVICE, handler: {type: auto, $HANDLER}, listener: {type: tcp}}
- {name: tcp, addr: $P4, $SERVICE, handler: {type: tcp}, listener: {type: tcp}, forwarder: {nodes: [{name: target-0, addr: $E}]}}
- {name: forward, addr: $P5, $SERVICE, handler: {type: forward}, listener: {type: tcp}, forwarder: {nodes: [{name: target-0, addr: 'mapped.test:$EP'}]}}
- {name: nobody, addr: $P6, $SERVICE, handler: {type: tcp}, listener: {type: tcp}, forwarder: {nodes: [{name: target-0, addr: $N}]}}
- {name: chained, addr: $P7, $SERVICE, handler: {type: http, $HANDLER, chain: chain-0}, listener: {type: tcp}}
- {name: chained5, addr: $P8, $SERVICE, handler: {type: socks5, $HANDLER, chain: chain-0, metadata: {notls: true}}, listener: {type: tcp}}
- {name: forward-hop, addr: $P9, $SERVICE, handler: {type: tcp, chain: chain-0}, listener: {type: tcp}, forwarder: {nodes: [{name: target-0, addr: $E}]}}
- {name: tls, addr: $Q0, $SERVICE, handler: {type: socks5, $HANDLER, metadata: {notls: true}}, listener: {type: tls}}
- {name: proxied, addr: $Q1, admission: m, bypass: m, hosts: m, resolver: m, limiter: m, recorders: $TOLD, handler: {type: http, $HANDLER}, listener: {type: tcp}, metadata: {proxyProtocol: 1}}
- {name: udp, addr: $Q2, $SERVICE, handler: {type: udp}, listener: {type: udp}, forwarder: {nodes: [{name: target-0, addr: $M}]}}
- {name: file, addr: $Q4, $SERVICE, handler: {type: file, auther: m, metadata: {dir: $DIR}}, listener: {type: tcp}}
- {name: relay, addr: $Q6, $SERVICE, handler: {type: relay, $HANDLER, metadata: {bind: true}}, listener: {type: tcp}}
- {name: relay-hop, addr: $Q7, $SERVICE, handler: {type: relay, $HANDLER, chain: chain-0}, listener: {type: tcp}}
- {name: rtcp, addr: $Q8, $SERVICE, handler: {type: rtcp}, listener: {type: rtcp}, forwarder: {nodes: [{name: target-0, addr: 'mapped.test:$EP'}]}}
- {name: udp-named, addr: $R0, $SERVICE, handler: {type: udp}, listener: {type: udp}, forwarder: {nodes: [{name: target-0, addr: 'mapped.test:$MP'}]}}
- {name: unix, addr: $Q9, $SERVICE, handler: {type: tcp}, listener: {type: tcp}, forwarder: {nodes: [{name: target-0, addr: $SOCKET, network: unix}]}}
- {name: metrics, addr: $Q5, $SERVICE, handler: {type: metrics, auther: m}, listener: {type: tcp}}
- {name: node, addr: $Q3, handler: {type: http}, listener: {type: tcp}}
authers: [{name: m, plugin: $AUTHER}]
admissions: [{name: m, plugin: $ADMISSION}]
bypasses: [{name: m, plugin: $BYPASS}]
hosts: [{name: m, plugin: $HOSTS}]
resolvers: [{name: m, plugin: $RESOLVER}]
limiters: [{name: m, plugin: $LIMITER}]
recorders: [{name: m, plugin: $RECORDER}]
observers: [{name: m, plugin: $OBSERVER}]
hops: [{name: hop-0, plugin: $HOP}]
chains: [{name: chain-0, hops: [{name: hop-0}]}]
`

const (
	moduleRecorders = `[{name: m, record: recorder.service.client.address}, {name: m, record: recorder.service.router.dial.address},
  {name: m, record: recorder.service.router.dial.address.error}, {name: m, record: recorder.service.handler}]`
	moduleService = `admission: m, bypass: m, hosts: m, resolver: m, limiter: m, recorders: ` + moduleRecorders
	moduleHandler = `auther: m, limiter: m`
)

// moduleTalk is what a client says and all that it gets to see; both as in socksTalks, or as text behind a quote. What stands
// behind @ a peer says who connects to the address that the client was told last, and behind ! one that ends when the client does;
// behind ~ it is a datagram of the client's to there, whose answer is seen too.
type moduleTalk struct {
	name, service, send, want string
	from                      string // 127.0.0.1 if empty
	ours                      string // what is seen from drawspan, if that is another thing
	unrecorded                bool   // no record of the connection is written
	ports                     []int  // where in what is seen a port is that changes
	limits                    string // why the limiter is asked otherwise
	logsIn                    string // why the auther is asked otherwise
}

var (
	asGost      = basic("gost:secret")
	loggedIn    = "0502 0100"
	guest       = "677565737400"
	bound       = "05000001 7f000001 0000"
	logIn       = "050102 | 0104676f737406736563726574"
	asGostRelay = "01000c 04676f7374 06736563726574"
	fileLogin   = strings.TrimPrefix(asGost, "Proxy-")
	proxyHead   = "PROXY TCP4 192.0.2.7 198.51.100.9 4711 443\r\n"
)

const (
	proxyAgent = "Proxy-Agent: gost/3.0\r\n"
	closing    = "Connection: close\r\n"
	challenge  = unauthorized + closing + "Proxy-Authenticate: Basic realm=\"gost\"\r\n\r\n"
	tunnelled  = established + proxyAgent + "\r\n"
	forbidden2 = "HTTP/1.1 403 Forbidden\r\n" + closing + proxyAgent + "\r\n"
	silent     = "GOST's metrics handler shuts its server down before the first request is there"
	failed     = unavailable + closing + proxyAgent + "\r\n"
)

var moduleTalks = []moduleTalk{
	{name: "connect", service: "P0", send: "'" + connect("$E", asGost) + "|'hello", want: "'" + tunnelled + "hello"},
	{name: "connect by name", service: "P0", send: "'" + connect("mapped.test:$EP", asGost) + "|'hello", want: "'" + tunnelled + "hello"},
	{name: "connect by resolver", service: "P0", send: "'" + connect("resolved.test:$EP", asGost) + "|'hello", want: "'" + tunnelled + "hello"},
	{name: "connect, unknown name", service: "P0", send: "'" + connect("nowhere.test:$EP", asGost), want: "'" + failed},
	{name: "connect to nobody", service: "P0", send: "'" + connect("$N", asGost), want: "'" + failed},
	{name: "connect, wrong password", service: "P0", send: "'" + connect("$E", basic("gost:wrong")), want: "'" + challenge},
	{name: "connect, no user", service: "P0", send: "'" + connect("$E"), want: "'" + challenge},
	{name: "connect, bypass", service: "P0", send: "'" + connect("a.blocked:443", asGost), want: "'" + forbidden2},
	{name: "connect, admission", service: "P0", from: denied, send: "'" + connect("$E", asGost), unrecorded: true},
	{name: "get", service: "P0", send: "'" + get("http://$H/path", asGost), want: "'$GOT"},
	{name: "get, bypass", service: "P0", send: "'" + get("http://a.blocked/", asGost), want: "'" + forbidden2},
	{name: "get from nobody", service: "P0", send: "'" + get("http://$N/", asGost), want: "'" + unavailable + "Content-Length: 0\r\n\r\n"},
	{name: "http datagrams", service: "P0", send: "'" + connect("a.test:53", asGost, "X-Gost-Protocol: udp\r\n") + "|0003 ff 01 $MA 616263",
		want: "'" + ok + "Content-Length: 0\r\n\r\n|0003 ff 01 $MA 636261"},

	{name: "socks4", service: "P1", send: "0401 $EO 676f737400", want: "005d000000000000"},
	{name: "socks4 by name", service: "P1", send: "0401 $EQ 00000001 706c61696e00 6d61707065642e7465737400", want: "005d000000000000"},
	{name: "socks4 with a user", service: "P1", send: "0401 $EO " + guest + " |'hello", want: "005a000000000000 |'hello"},
	{name: "socks4a with a user", service: "P1", send: "0401 $EQ 00000001 " + guest + " 6d61707065642e7465737400 |'hello", want: "005a000000000000 |'hello"},
	{name: "socks4 to nobody", service: "P1", send: "0401 $NO " + guest, want: "005b000000000000"},
	{name: "socks4, bypass", service: "P1", send: "0401 0050 00000001 " + guest + " 612e626c6f636b656400", want: "005c000000000000"},
	{name: "socks4 bind", service: "P1", send: "0402 $EO " + guest},
	{name: "socks4, admission", service: "P1", from: denied, send: "0401 $EO 676f737400", unrecorded: true},

	{name: "socks5", service: "P2", send: logIn + "| 05010001 $EA |'hello", want: loggedIn + "05000001000000000000 |'hello"},
	{name: "socks5 by name", service: "P2", send: logIn + "| 05010003 0b 6d61707065642e74657374 $EQ |'hello", want: loggedIn + "05000001000000000000 |'hello"},
	{name: "socks5 to nobody", service: "P2", send: logIn + "| 05010001 $NA", want: loggedIn + "05030001000000000000"},
	{name: "socks5, wrong password", service: "P2", send: "050102 | 0104676f73740577726f6e67", want: "0502 0101"},
	{name: "socks5, bypass", service: "P2", send: logIn + "| 05010003 09 612e626c6f636b6564 0050", want: loggedIn + "05020001000000000000"},
	{name: "socks5, admission", service: "P2", from: denied, send: "050102", unrecorded: true},
	{name: "socks5 datagrams", service: "P2", send: logIn + "| 05f30001 000000000000 | 0003 ff 01 $MA 616263",
		want: loggedIn + "05000004 00000000000000000000000000000000 0000 | 0003 ff 01 $MA 636261", ports: []int{24}},
	{name: "socks5 bind", service: "P2", send: logIn + "| 05020001 000000000000 |!'hello", want: loggedIn + bound + bound + "|'hello", ports: []int{12, 22}},
	{name: "socks5 bind elsewhere", service: "P2", send: logIn + "| 05020001 c00002010000", want: loggedIn + "05010001000000000000"},
	{name: "socks5 bind of many", service: "P2", send: logIn + "| 05f20001 7f0000010000 |@'hello",
		want: loggedIn + bound + "0100000003000000 01020a0003000000" + bound + "0102050003000000 |'hello", ports: []int{12, 38}},
	{name: "socks5 bind, disabled", service: "P8", send: logIn + "| 05020001 000000000000", want: loggedIn + "05020001000000000000"},
	{name: "socks5 associate", service: "P2", send: logIn + "| 05030001 000000000000 |~ 000000 01 $MA 616263",
		want: loggedIn + bound + "000000 01 $MA 636261", ports: []int{12}},
	{name: "socks5 associate, bypass", service: "P2", send: logIn + "| 05030001 000000000000 |~ 000000 01 7f000009 0035 616263 |~ 000000 01 $MA 616263",
		want: loggedIn + bound + "000000 01 $MA 636261", ports: []int{12}},
	{name: "socks5 associate, disabled", service: "P8", send: logIn + "| 05030001 000000000000", want: loggedIn + "05020001000000000000"},
	{name: "socks5 over tls", service: "Q0", send: logIn + "| 05010001 $EA |'hello", want: loggedIn + "05000001000000000000 |'hello"},

	{name: "auto, http", service: "P3", send: "'" + connect("$E", asGost) + "|'hello", want: "'" + tunnelled + "hello"},
	{name: "auto, http, wrong password", service: "P3", send: "'" + connect("$E", basic("gost:wrong")), want: "'" + challenge},
	{name: "auto, socks4", service: "P3", send: "0401 $EO 676f737400", want: "005d000000000000"},
	{name: "auto, socks4 with a user", service: "P3", send: "0401 $EO " + guest + " |'hello", want: "005a000000000000 |'hello"},
	{name: "auto, socks5", limits: "its protocols share what is known of a client's limits", service: "P3", send: logIn + "| 05010001 $EA |'hello", want: loggedIn + "05000001000000000000 |'hello"},
	{name: "auto, socks5, bypass", service: "P3", send: logIn + "| 05010003 09 612e626c6f636b6564 0050", want: loggedIn + "05020001000000000000"},

	{name: "tcp", service: "P4", send: "'hello", want: "'hello"},
	{name: "forward by name", service: "P5", send: "'hello", want: "'hello"},
	{name: "tcp to nobody", limits: "GOST asks when the first byte moves, and none does", service: "P6", send: "'hello"},
	{name: "tcp, admission", service: "P4", from: denied, send: "'hello", unrecorded: true},

	{name: "hop", service: "P7", send: "'" + connect("$E", asGost) + "|'hello", want: "'" + tunnelled + "hello"},
	{name: "hop by name", service: "P7", send: "'" + connect("mapped.test:$EP", asGost) + "|'hello", want: "'" + tunnelled + "hello"},
	{name: "hop, no node", service: "P7", send: "'" + connect("x.direct:$EP", asGost), want: "'" + failed},
	{name: "hop, whose node finds nobody", service: "P7", send: "'" + connect("$N", asGost), want: "'" + failed},
	{name: "hop of socks5", service: "P8", send: logIn + "| 05010001 $EA |'hello", want: loggedIn + "05000001000000000000 |'hello"},
	{name: "hop of a forwarder", service: "P9", send: "'hello", want: "'hello"},

	{name: "PROXY", service: "Q1", send: "'" + proxyHead + connect("$E", asGost) + "|'hello", want: "'" + tunnelled + "hello"},
	{name: "PROXY, wrong password", service: "Q1", send: "'" + proxyHead + connect("$E", basic("gost:wrong")), want: "'" + challenge},

	{name: "udp", limits: "GOST has no limit of its own for each UDP client", service: "Q2", send: "'abc", want: "'cba"},
	{name: "file", service: "Q4", send: "'" + request("GET /page.txt", "a.test", fileLogin), want: "'" + ok + "\r\nA page."},
	{name: "file, nothing there", service: "Q4", send: "'" + request("GET /other", "a.test", fileLogin), want: "'HTTP/1.1 404 Not Found\r\n\r\n404 page not found\n"},
	{name: "file, wrong password", service: "Q4", send: "'" + request("GET /page.txt", "a.test"), want: "'HTTP/1.1 401 Unauthorized\r\n\r\n"},
	{name: "file, admission", service: "Q4", from: denied, send: "'" + request("GET /page.txt", "a.test"), unrecorded: true},

	{name: "metrics", logsIn: silent, limits: silent, service: "Q5", send: "'" + request("HEAD /metrics", "a.test", fileLogin), ours: "'" + ok + "\r\n", unrecorded: true},
	{name: "metrics elsewhere", logsIn: silent, limits: silent, service: "Q5", send: "'" + request("GET /", "a.test", fileLogin),
		ours: "'HTTP/1.1 404 Not Found\r\n\r\n404 page not found\n", unrecorded: true},
	{name: "metrics, wrong password", logsIn: silent, limits: silent, service: "Q5", send: "'" + request("HEAD /metrics", "a.test"), ours: "'HTTP/1.1 401 Unauthorized\r\n\r\n", unrecorded: true},
	{name: "metrics, admission", service: "Q5", from: denied, send: "'" + request("HEAD /metrics", "a.test", fileLogin), unrecorded: true},

	{name: "relay", service: "Q6", send: "01010019" + asGostRelay + "02000701 $EA 68656c6c6f", want: "01000000 |'hello"},
	{name: "relay by name", service: "Q6", send: "01010021" + asGostRelay + "02000f03 0b 6d61707065642e74657374 $EQ 68656c6c6f", want: "01000000 |'hello"},
	{name: "relay by resolver", service: "Q6", send: "01010023" + asGostRelay + "02001103 0d 7265736f6c7665642e74657374 $EQ 68656c6c6f", want: "01000000 |'hello"},
	{name: "relay to nobody", service: "Q6", send: "01010019" + asGostRelay + "02000701 $NA", want: "01070000"},
	{name: "relay, no address", service: "Q6", send: "0101000f" + asGostRelay, want: "01010000"},
	{name: "relay, wrong password", service: "Q6", send: "01010018 01000b 04676f7374 0577726f6e67 02000701 $EA", want: "01020000"},
	{name: "relay, no user", service: "Q6", send: "0101000a 02000701 $EA", want: "01020000"},
	{name: "relay, bypass", service: "Q6", send: "0101001f" + asGostRelay + "02000d03 09 612e626c6f636b6564 0050", want: "01030000"},
	{name: "relay, admission", service: "Q6", from: denied, send: "01010019" + asGostRelay + "02000701 $EA", unrecorded: true},
	{name: "relay datagrams", service: "Q6", send: "0181001e 0400020001" + asGostRelay + "02000701 $MA 0003616263", want: "01000000 0003636261"},
	{name: "relay bind elsewhere", service: "Q6", send: "01020019" + asGostRelay + "02000701 c00002010000", want: "01050000"},
	{name: "relay bind, disabled", limits: "GOST limits what it refuses, too", service: "Q7", send: "01020019" + asGostRelay + "02000701 7f0000010000", want: "01030000"},
	{name: "hop of a relay", service: "Q7", send: "01010019" + asGostRelay + "02000701 $EA 68656c6c6f", want: "01000000 |'hello"},
	{name: "rtcp", service: "Q8", send: "'hello", want: "'hello"},
	{name: "rtcp, admission", service: "Q8", from: denied, send: "'hello", unrecorded: true},
	{name: "unix", service: "Q9", send: "'hello", want: "'hello"},

	{name: "udp by name", limits: "GOST has no limit of its own for each UDP client", service: "R0", send: "'abc", want: "'cba"},
	{name: "udp, admission", service: "Q2", from: denied, send: "'abc", unrecorded: true},
}

// moduleDiffers are the differences in what modules are asked and told, with their reasons. There are no others.
var moduleDiffers = struct {
	once    map[string]string // asked again what they were asked already
	apart   map[string]string // asked at another time
	fields  map[string]string // fields of questions
	records map[string]string // fields of a handler's record
}{
	once: map[string]string{
		"admission": "one question per decision: GOST asks about a connection in the listener and in the service",
		"limiter":   "one question per key: GOST asks about each direction",
		"bypass":    "one question per decision: GOST asks about a plain request twice",
	},
	apart: map[string]string{
		"limiter": "GOST asks when the first byte moves, drawspan before the handler and before the copying",
	},
	fields: map[string]string{
		"auther client":     "GOST's file handler doesn't say it",
		"admission network": "later GOSTs say it too",
		"admission service": "GOST asks about datagrams without it, and then about their session with it",
		"limiter src":       "GOST has the address there from which the PROXY header came",
	},
	records: map[string]string{
		"http request header Proxy-Authorization": "a password has no place in a record",
		"http request header Authorization":       "the same, where it is the file handler's",
		"http response header":                    "GOST has the headers of its own answers there, some of them",
		"http statusCode":                         "GOST says 0 of a CONNECT that it has answered by 200, and 200 where its file handler refuses a user",
		"client":                                  "GOST's file handler doesn't say it",
		"sid":                                     "nor that",
		"remote":                                  "GOST has the address there from which the PROXY header came",
		"local":                                   "and the one to which; its file handler has none",
		"route":                                   "GOST names the way that failed; drawspan does in err, and later GOSTs don't",
	},
}

// moduleWorld is what talks are about.
type moduleWorld struct {
	node string   // where the hop's node is to listen
	fill []string // what the names in moduleServices stand for
}

// startModuleWorld starts it, with a pluginserver behind all modules, by gRPC or HTTP.
func startModuleWorld(t *testing.T, kind string) (moduleWorld, *pluginServer) {
	origin, echoes, mirror, nobody, node := startOrigin(t), echoServer(t, "tcp4", "127.0.0.1:0"), udpMirror(t), unusedAddr(t), unusedAddr(t)
	pages := t.TempDir()
	if err := os.WriteFile(filepath.Join(pages, "page.txt"), []byte("A page."), 0o600); err != nil {
		t.Fatal(err)
	}
	_, echoPort, _ := net.SplitHostPort(echoes)
	_, mirrorPort, _ := net.SplitHostPort(mirror)
	got := "GET /path HTTP/1.1\r\nHost: " + origin + "\r\nUser-Agent: interop\r\n\r\n"
	got = fmt.Sprintf("%sX-Origin: yes\r\nContent-Length: %d\r\n\r\n%s", ok, len(got), got)
	fill := []string{
		"$SERVICE", moduleService, "$TOLD", moduleRecorders, "$HANDLER", moduleHandler, "$Q3", node,
		"$GOT", got, "$EQ", hexPort(echoes), "$EP", echoPort, "$EO", hexPort(echoes) + hexIP(echoes), "$EA", hexIP(echoes) + hexPort(echoes),
		"$E", echoes, "$H", origin, "$NO", hexPort(nobody) + hexIP(nobody), "$NA", hexIP(nobody) + hexPort(nobody), "$N", nobody,
		"$DIR", pages, "$SOCKET", echoServer(t, "unix", filepath.Join(t.TempDir(), "u")), "$MA", hexIP(mirror) + hexPort(mirror), "$MP", mirrorPort, "$M", mirror,
	}
	server := startPluginserver(t, "-user", "gost", "-password", "secret", "-node", node)
	return moduleWorld{node, fill}.with(func(module string) string { return server.block(kind, module) }), server
}

// with is the same with other plugins, whose blocks in the config those are.
func (w moduleWorld) with(plugin func(module string) string) moduleWorld {
	for _, module := range []string{"auther", "admission", "bypass", "hosts", "resolver", "limiter", "recorder", "hop", "observer"} {
		w.fill = slices.Insert(slices.Clone(w.fill), 0, "$"+strings.ToUpper(module), plugin(module))
	}
	return w
}

// withGuests is the same with components.
func (w moduleWorld) withGuests(t *testing.T) moduleWorld {
	return w.with(func(string) string { return toldBlock(t, w.node) })
}

// moduleAddrs are the names of the services' addresses.
var moduleAddrs = strings.Fields("P0 P1 P2 P3 P4 P5 P6 P7 P8 P9 Q0 Q1 Q2 Q4 Q5 Q6 Q7 Q8 Q9 R0")

// serve starts a gateway. It returns the addresses of those names, what all names stand for, and the gateway's log.
func (w moduleWorld) serve(t *testing.T, binary, services string, names []string) (map[string]string, *strings.Replacer, *said) {
	addrs, fill := map[string]string{}, slices.Clone(w.fill)
	for _, name := range names {
		addrs[name] = unusedAddr(t)
		fill = slices.Insert(fill, 0, "$"+name, addrs[name])
	}
	values := strings.NewReplacer(fill...)
	file := filepath.Join(t.TempDir(), "gost.yaml")
	// Twice: values have values.
	if err := os.WriteFile(file, []byte(values.Replace(values.Replace(services))), 0o600); err != nil {
		t.Fatal(err)
	}
	// The last of them is the last that listens; nothing is asked about it.
	return addrs, values, startGateway(t, binary, file, w.node)
}

// talked talks, and checks what the client sees.
func talked(t *testing.T, talk moduleTalk, addr string, values *strings.Replacer, isOurs bool) {
	t.Helper()
	want := talk.want
	if isOurs && talk.ours != "" {
		want = talk.ours
	}
	expected := seen(t, values, want)
	got := talkModules(t, talk, addr, values, expected)
	for _, port := range talk.ports {
		if len(got) >= port+2 {
			got[port], got[port+1] = 0, 0
		}
	}
	if talk.service == "Q4" || talk.service == "Q5" {
		got = pageOf(got)
	}
	if !bytes.Equal(sortHead(got), sortHead(expected)) {
		t.Errorf("%s: the client sees %q, want %q", talk.name, got, expected)
	}
}

// TestModules compares, connection by connection, which modules are asked and told what, in which order; components, too.
func TestModules(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"grpc", "http"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			world, server := startModuleWorld(t, kind)
			run := func(t *testing.T, world moduleWorld, binary string, isOurs, isWasm bool) map[string][]string {
				addrs, values, log := world.serve(t, binary, moduleServices, moduleAddrs)
				server := server
				if isWasm {
					server = &pluginServer{log: log, bell: world.node}
				}
				settle(t, server)
				all := map[string][]string{}
				for _, talk := range moduleTalks {
					talked(t, talk, addrs[talk.service], values, isOurs)
					all[talk.name] = lines(t, talk, askedFor(t, server, !talk.unrecorded))
				}
				return all
			}
			var gost map[string][]string
			t.Run("gost", func(t *testing.T) { gost = run(t, world, gostpeer, false, false) })
			asks := func(t *testing.T, drawspan map[string][]string) {
				for _, talk := range moduleTalks {
					asksAndTells(t, talk.name, drawspan[talk.name], gost[talk.name])
				}
			}
			t.Run("drawspan", func(t *testing.T) { asks(t, run(t, world, drawspanBinary(t), true, false)) })
			if kind == "http" {
				t.Run("wasm", func(t *testing.T) { asks(t, run(t, world.withGuests(t), drawspanBinary(t), true, true)) })
			}
		})
	}
}

// asksAndTells compares what drawspan asks and tells with what GOST does.
func asksAndTells(t *testing.T, name string, drawspan, gost []string) {
	t.Helper()
	if !slices.Equal(drawspan, gost) {
		t.Errorf("%s: it asks and tells\n%s\nwant, as GOST,\n%s", name, without(drawspan, gost), without(gost, drawspan))
	}
}

// without marks the lines that others haven't.
func without(lines, others []string) string {
	var text strings.Builder
	for _, line := range lines {
		mark := "  "
		if !slices.Contains(others, line) {
			mark = "* "
		}
		text.WriteString("\t" + mark + line + "\n")
	}
	return text.String()
}

// spokenPart is a part of what a talk says or sees; mark is what stands before it, if it isn't the client's.
type spokenPart struct {
	mark  byte
	bytes []byte
}

func spoken(t *testing.T, values *strings.Replacer, text string) (parts []spokenPart) {
	t.Helper()
	for text := range strings.SplitSeq(text, "|") {
		text = values.Replace(strings.TrimLeft(text, " "))
		var part spokenPart
		if text != "" && strings.Contains("@!~", text[:1]) {
			part.mark, text = text[0], text[1:]
		}
		if quoted, is := strings.CutPrefix(text, "'"); is {
			part.bytes = []byte(quoted)
		} else {
			part.bytes = unhex(t, text)
		}
		parts = append(parts, part)
	}
	return parts
}

// seen is all that a client gets to see, by what talks say.
func seen(t *testing.T, values *strings.Replacer, text string) (all []byte) {
	t.Helper()
	for _, part := range spoken(t, values, text) {
		all = append(all, part.bytes...)
	}
	return all
}

// pageOf is the first line and the body of a page, which has headers of many kinds.
func pageOf(answer []byte) []byte {
	head, body, is := bytes.Cut(answer, []byte("\r\n\r\n"))
	if !is {
		return answer
	}
	line, _, _ := bytes.Cut(head, []byte("\r\n"))
	return slices.Concat(line, []byte("\r\n\r\n"), body)
}

// talkModules says the parts of a talk, the next when something came back, and returns all that did. A service that has said
// what is wanted and waits for more is cut off.
func talkModules(t *testing.T, talk moduleTalk, addr string, values *strings.Replacer, want []byte) (got []byte) {
	t.Helper()
	from := talk.from
	if from == "" {
		from = here
	}
	conn := dialFrom(t, from, talk.service, addr)
	defer conn.Close()
	buffer := make([]byte, 65536)
	parts := spoken(t, values, talk.send)
	var peers []net.Conn
	for i, part := range parts {
		switch part.mark {
		case '@', '!':
			peer := speakTo(t, "tcp4", from, got, part.bytes)
			defer peer.Close()
			if part.mark == '!' {
				peers = append(peers, peer)
			}
		case '~':
			peer := speakTo(t, "udp4", from, got, part.bytes)
			defer peer.Close()
			peer.SetReadDeadline(time.Now().Add(deadline))
			if i+1 == len(parts) {
				read, _ := peer.Read(buffer)
				got = append(got, buffer[:read]...)
			}
			continue
		default:
			conn.Write(part.bytes)
		}
		for {
			read, err := conn.Read(buffer)
			got = append(got, buffer[:read]...)
			if err != nil {
				return got
			}
			if i+1 < len(parts) || len(got) >= len(want) {
				break
			}
		}
	}
	if tcp, is := conn.(*net.TCPConn); is {
		tcp.CloseWrite()
		for _, peer := range peers {
			peer.Close()
		}
		rest, _ := io.ReadAll(conn)
		got = append(got, rest...)
	}
	return got
}

// speakTo says something to the address that told ends with.
func speakTo(t *testing.T, network, from string, told, text []byte) net.Conn {
	t.Helper()
	if len(told) < 6 {
		t.Fatalf("no address in %x", told)
	}
	var local net.Addr = &net.TCPAddr{IP: net.ParseIP(from)}
	if network == "udp4" {
		local = &net.UDPAddr{IP: net.ParseIP(from)}
	}
	ip, port := told[len(told)-6:len(told)-2], binary.BigEndian.Uint16(told[len(told)-2:])
	conn, err := (&net.Dialer{LocalAddr: local}).Dial(network, net.JoinHostPort(net.IP(ip).String(), fmt.Sprint(port)))
	if err != nil {
		t.Fatal(err)
	}
	conn.Write(text)
	return conn
}

// isByUDP says whether a service of moduleServices is for datagrams.
func isByUDP(service string) bool { return service == "Q2" || service == "R0" }

// dialFrom connects to a service from that address. A client that is denied hears nothing; by UDP that takes a while.
func dialFrom(t *testing.T, from, service, addr string) net.Conn {
	t.Helper()
	var conn net.Conn
	var err error
	if isByUDP(service) {
		conn, err = (&net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(from)}}).Dial("udp4", addr)
	} else {
		conn, err = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).Dial("tcp4", addr)
	}
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(deadline))
	if isByUDP(service) && from == denied {
		conn.SetDeadline(time.Now().Add(300 * time.Millisecond))
	}
	if service == "Q0" {
		return tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	return conn
}

// askedFor are the questions about one connection: up to its record, or until there are no more for a while.
func askedFor(t *testing.T, server *pluginServer, recorded bool) (all []record) {
	t.Helper()
	isRecord := func(r record) bool { return strings.Contains(lines(t, moduleTalk{}, []record{r})[0], `"sid"`) }
	for end := time.Now().Add(deadline); recorded && !slices.ContainsFunc(all, isRecord) && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		all = append(all, server.asked(t)...)
	}
	if !recorded {
		time.Sleep(300 * time.Millisecond)
		all = server.asked(t)
	}
	return all
}

// moduleOf is the name of the module, from the path of an HTTP server or from a method of gRPC.
func moduleOf(r record) string {
	name := strings.ToLower(r.Path[strings.LastIndex(r.Path, "/")+1:])
	methods := map[string]string{"authenticate": "auther", "admit": "admission", "lookup": "hosts", "resolve": "resolver", "limit": "limiter", "record": "recorder", "select": "hop"}
	if module, is := methods[name]; is {
		return module
	}
	return name
}

var ephemeral = regexp.MustCompile(`(127\.0\.0\.\d+|\[::\]):\d+`)

// lines are questions in a form to compare: the module and its fields, without what differs by moduleDiffers or from run to run.
func lines(t *testing.T, talk moduleTalk, asked []record) (all []string) {
	t.Helper()
	var apart []string
	isUDP, isProxied, isFile := isByUDP(talk.service), talk.service == "Q1", talk.service == "Q4"
	for _, r := range asked {
		module := moduleOf(r)
		var body map[string]any
		if err := json.Unmarshal([]byte(r.Body), &body); err != nil {
			t.Fatalf("%q: %v", r.Body, err)
		}
		if data, ok := body["data"].(string); ok {
			text, err := base64.StdEncoding.DecodeString(data)
			if err != nil {
				t.Fatalf("%q: %v", data, err)
			}
			var object map[string]any
			if json.Unmarshal(text, &object) == nil {
				withoutDifferences(object, isProxied, isFile)
				body["data"] = object
			} else {
				body["data"] = string(text)
			}
		}
		for field := range moduleDiffers.fields {
			of, key, _ := strings.Cut(field, " ")
			if of == module && (key == "network" || key == "service" && isUDP || key == "src" && isProxied || key == "client" && isFile) {
				delete(body, key)
			}
		}
		hideChanging(body)
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		if module == "limiter" && talk.limits != "" || module == "auther" && talk.logsIn != "" {
			continue
		}
		line := module + " " + string(text)
		to := &all
		if moduleDiffers.apart[module] != "" {
			to = &apart
		}
		if moduleDiffers.once[module] == "" || !slices.Contains(*to, line) {
			*to = append(*to, line)
		}
	}
	return append(all, apart...)
}

// withoutDifferences takes out of a handler's record what differs: some of it only of connections that came to nothing, or where
// the proxy answers itself.
func withoutDifferences(object map[string]any, isProxied, isFile bool) {
	for key := range recordsDiffer {
		delete(object, key)
	}
	http, _ := object["http"].(map[string]any)
	for path := range moduleDiffers.records {
		var counts bool
		switch path {
		case "route":
			counts = object["dst"] == ""
		case "remote":
			counts = isProxied
		case "local":
			counts = isProxied || isFile
		case "client", "sid", "http request header Authorization":
			counts = isFile
		case "http request header Proxy-Authorization":
			counts = true
		case "http statusCode":
			counts = http["method"] == "CONNECT" && (object["dst"] != "" || object["network"] == "udp") || isFile && object["clientID"] == nil
		default:
			// Where the proxy has answered itself.
			counts = http["method"] == "CONNECT" || object["dst"] == ""
		}
		if !counts {
			continue
		}
		keys := strings.Fields(path)
		inner := object
		for _, key := range keys[:len(keys)-1] {
			inner, _ = inner[key].(map[string]any)
		}
		delete(inner, keys[len(keys)-1])
	}
}

// hideChanging leaves of addresses of clients, ids and times only whether they are there.
func hideChanging(body map[string]any) {
	for key, value := range body {
		switch text, _ := value.(string); {
		case slices.Contains([]string{"client", "src", "remote", "local", "addr"}, key) && ephemeral.MatchString(text):
			if key != "addr" || body["host"] == nil && body["scope"] == nil {
				body[key] = ephemeral.ReplaceAllString(text, "…")
			}
		case slices.Contains([]string{"sid", "duration", "time"}, key) && value != "" && value != visitorsSid:
			body[key] = "…"
		}
		if inner, is := value.(map[string]any); is {
			hideChanging(inner)
		}
	}
}
