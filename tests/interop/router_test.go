package interop

import (
	"bytes"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const routerID = "4d21094e-b74c-4916-86c1-d9fa36ea677b"

// routerServer passes packets between gateway-0 and gateway-1.
const routerServer = `
services:
- {name: router, addr: ":8422", handler: {type: router, auther: users, metadata: {router: router-0, ingress: ingress-0}}, listener: {type: %s}}
authers:
- {name: users, auths: [{username: gost, password: secret}]}
routers:
- {name: router-0, routes: [{dst: 192.0.2.0/24, gateway: gateway-0}, {dst: 203.0.113.0/24, gateway: gateway-1}]}
ingresses:
- {name: ingress-0, rules: [{hostname: gateway-0, endpoint: ` + routerID + `}, {hostname: gateway-1, endpoint: ` + routerID + `}]}
`

// routerClient is what gateway-0 and so on are: its name, address, and what is behind the other; its router, and the dialer.
const routerClient = `
services:
- {name: client, addr: ":0", handler: {type: tun, chain: chain-0}, listener: {type: tun, metadata: {name: tun-client, net: %[2]s/24, route: %[3]s}}, forwarder: {nodes: [{name: n, addr: %[1]s}]}}
chains:
- {name: chain-0, hops: [{name: h, nodes: [{name: n, addr: "%[4]s", connector: {type: router, auth: {username: gost, password: secret}, metadata: {router.id: ` + routerID + `}}, dialer: {type: %[5]s}}]}]}
`

func TestRouter(t *testing.T) {
	eachPair(t, func(t *testing.T, server, client string) { checkRouter(t, server, client, "tcp") })
}

// Over TLS only where the two differ: it makes no difference to what is above it.
func TestRouterOverTLS(t *testing.T) {
	eachPair(t, func(t *testing.T, server, client string) {
		if server != client {
			checkRouter(t, server, client, "tls")
		}
	})
}

// checkRouter has two clients find each other, and again when one of them was gone.
func checkRouter(t *testing.T, server, client, transport string) {
	first, second := newSite(t), newSite(t)
	start(t, nil, server, "-C", configFile(t, routerServer, transport))
	config := func(name, addr, other string, s *site) string {
		return configFile(t, routerClient, name, addr, other, s.us+":8422", transport)
	}
	killed := startKillable(t, first, client, "-C", config("gateway-0", "192.0.2.2", "203.0.113.0/24", first))
	second.start(t, client, "-C", config("gateway-1", "203.0.113.2", "192.0.2.0/24", second))
	reaches(t, first, "203.0.113.2")
	reaches(t, second, "192.0.2.2")
	if transport == "tcp" {
		transfer(t, first, second, "203.0.113.2")
	}
	kill(killed)
	if pings(t, second, "192.0.2.2", 1) {
		t.Error("a dead gateway answers")
	}
	startKillable(t, first, client, "-C", config("gateway-0", "192.0.2.2", "203.0.113.0/24", first))
	reaches(t, second, "192.0.2.2")
}

// TestRouterBytes compares what clients of a router see, byte for byte: how they are answered, and packets of others.
func TestRouterBytes(t *testing.T) {
	t.Parallel()
	const user = "01000c 04676f7374 06736563726574"
	granted := "< 01000017 030014 " + strings.Repeat("??", 16) + " 00000000"
	for _, gateway := range bothGateways {
		t.Run(gateway.name, func(t *testing.T) {
			t.Parallel()
			addr := unusedAddr(t)
			startGateway(t, gateway.binary(t), configFile(t, "%s", strings.Replace(fmt.Sprintf(routerServer, "tcp"), ":8422", addr, 1)), addr)
			for _, talk := range []struct{ name, send, want string }{
				{"no user", tunnelRequest("03", routerID, "gateway-0", ""), "01020000"},
				{"wrong password", tunnelRequest("03", routerID, "gateway-0", "01000b 04676f7374 0577726f6e67"), "01020000"},
				{"another's name", tunnelRequest("03", tunnelNobodys, "gateway-0", user), "01060000"},
				{"unknown name", tunnelRequest("03", routerID, "gateway-2", user), "01060000"},
				{"connect", tunnelRequest("01", routerID, "gateway-0", user), "01010000"},
				{"bind", tunnelRequest("02", routerID, "gateway-0", user), "01010000"},
				{"other version", "02030000", ""},
				{"feature that is cut off", "01030005 020004 01 7f", ""},
			} {
				want := unhex(t, talk.want)
				if got := converse(t, addr, talk.send, want); !bytes.Equal(got, want) {
					t.Errorf("%s: got %x, want %x", talk.name, got, want)
				}
			}
			var ends []*wireEnd
			for _, name := range []string{"gateway-0", "gateway-1"} {
				end := newWireEnd(t, dialSocks(t, addr), 0)
				end.play(t, "> "+tunnelRequest("03", routerID, name, "0400020002"+user)+"\n"+granted)
				ends = append(ends, end)
			}
			// UDP without data, to where no route leads, to the one's own net and to the other's.
			packet := func(target string) string {
				return "001c 4500001c 00000000 40110000 c0000202 " + target + " 00350035 00080000"
			}
			there := packet("cb007105")
			eventually(t, "a packet", nil, func() bool {
				ends[0].Write(unhex(t, packet("0a000001")+there))
				ends[1].SetReadDeadline(time.Now().Add(200 * time.Millisecond))
				_, err := ends[1].reader.Peek(1)
				return err == nil
			})
			ends[1].SetReadDeadline(time.Now().Add(deadline))
			ends[1].play(t, "< "+there+"\n> "+packet("c0000207"))
			ends[0].play(t, "< "+packet("c0000207"))
		})
	}
}

// Two routers that find each other's clients.
func TestRouterDiscovery(t *testing.T) {
	eachPair(t, func(t *testing.T, left, right string) {
		plugins := startPluginserver(t)
		checkDiscovery(t, left, right, "grpc", plugins.plugin("grpc", "router"), "http", plugins.plugin("http", "sd"))
	})
}

// TestServeRouter has GOST ask components that `drawspan plugin serve` serves.
func TestServeRouter(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"grpc", "http"} {
		t.Run(protocol, func(t *testing.T) {
			if !inNamespace(t) {
				return
			}
			binary := drawspanBinary(t)
			router, _ := startServe(t, binary, guestOf(t, "router"), protocol, "router", []string{"--config", "routes=192.0.2.0/24=gateway-0 203.0.113.0/24=gateway-1"})
			sd, _ := startServe(t, binary, guestOf(t, "sd"), protocol, "sd", []string{"--keyvalue", "default"})
			checkDiscovery(t, gostpeer, gostpeer, protocol, router, protocol, sd)
		})
	}
}

// checkDiscovery has two routers find each other's clients by these plugins.
func checkDiscovery(t *testing.T, left, right, routerProtocol, router, sdProtocol, sd string) {
	first, second := newSite(t), newSite(t)
	for i, binary := range []string{left, right} {
		start(t, nil, binary, "-C", configFile(t, `
services:
- {name: router, addr: ":842%[1]d", handler: {type: router, metadata: {router: router-0, sd: sd-0, entrypoint: "127.0.0.1:900%[1]d"}}, listener: {type: tcp}}
routers:
- {name: router-0, plugin: {type: %[2]s, addr: %[3]q, token: gost}}
sds:
- {name: sd-0, plugin: {type: %[4]s, addr: %[5]q, token: gost}}
`, i, routerProtocol, router, sdProtocol, sd))
	}
	first.start(t, left, "-C", configFile(t, routerClient, "gateway-0", "192.0.2.2", "203.0.113.0/24", first.us+":8420", "tcp"))
	second.start(t, left, "-C", configFile(t, routerClient, "gateway-1", "203.0.113.2", "192.0.2.0/24", second.us+":8421", "tcp"))
	reaches(t, first, "203.0.113.2")
	reaches(t, second, "192.0.2.2")
}

// Auther, ingress, router and sd of a router are asked the same by both gateways. With a limiter GOST panics.
func TestRouterCalls(t *testing.T) {
	asksTheSame(t, 6, routerCalls)
}

var (
	randomIDs = regexp.MustCompile(`"(id|node)":"[0-9a-f]{8}-[0-9a-f-]{27}"`)
	ports     = regexp.MustCompile(`(10\.99\.\d+\.\d+):\d+`)
)

// routerCalls are the questions of a router with two clients, each once.
func routerCalls(t *testing.T, server, protocol string) (asked []string) {
	t.Run(filepath.Base(server), func(t *testing.T) {
		plugins, first, second := startPluginserver(t, "-password", "secret"), newSite(t), newSite(t)
		for _, name := range []string{"gateway-0", "gateway-1"} {
			body := strings.NewReader(fmt.Sprintf(`{"service":"","host":%q,"endpoint":%q}`, name, routerID))
			request, _ := http.NewRequest(http.MethodPut, "http://"+plugins.http+"/ingress", body)
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
		}
		plugins.asked(t)
		plugins = serveAsking(t, plugins, server, protocol, `
- {name: router, addr: ":8422", handler: {type: router, auther: users, metadata: {router: router-0, ingress: ingress-0, sd: sd-0, entrypoint: "127.0.0.1:9000", sd.renewInterval: 1s}}, listener: {type: tcp}}
authers: [{name: users, plugin: $auther}]
routers: [{name: router-0, plugin: $router}]
ingresses: [{name: ingress-0, plugin: $ingress}]
sds: [{name: sd-0, plugin: $sd}]
`)
		first.start(t, gostpeer, "-C", configFile(t, routerClient, "gateway-0", "192.0.2.2", "203.0.113.0/24", first.us+":8422", "tcp"))
		second.start(t, gostpeer, "-C", configFile(t, routerClient, "gateway-1", "203.0.113.2", "192.0.2.0/24", second.us+":8422", "tcp"))
		var records []record
		// A packet for who isn't there yet would be asked about.
		eventually(t, "both to be there", nil, func() bool {
			records = append(records, plugins.asked(t)...)
			registered := 0
			for _, r := range records {
				if strings.HasSuffix(r.Path, "/Register") || r.Path == "/sd" && r.Method == http.MethodPost {
					registered++
				}
			}
			return registered == 2
		})
		reaches(t, first, "203.0.113.2")
		eventually(t, "both to be renewed", nil, func() bool {
			records = append(records, plugins.asked(t)...)
			renewed := func(gateway string) bool {
				return slices.ContainsFunc(records, func(r record) bool {
					return (strings.HasSuffix(r.Path, "/Renew") || r.Method == http.MethodPut) && strings.Contains(r.Body, gateway)
				})
			}
			return renewed("gateway-0@") && renewed("gateway-1@")
		})
		for _, record := range records {
			body := randomIDs.ReplaceAllString(record.Body, `"$1":"…"`)
			// Where a gateway says that the client is differs: see docs/differences.md.
			if strings.Contains(record.Path, "uth") {
				body = clientField.ReplaceAllString(body, `"client":"…"`)
			}
			body = sitesAddr.ReplaceAllString(ports.ReplaceAllString(body, "$1:…"), "10.99.N.$1")
			// Interfaces say hello to multicast addresses, at times of their own.
			if strings.Contains(record.Body+record.Query, "ff02") || strings.Contains(record.Body+record.Query, "fe80") || strings.Contains(record.Body+record.Query, "224.0.0") {
				continue
			}
			asked = append(asked, fmt.Sprintf("%s %s?%s %s", record.Method, record.Path, record.Query, body))
		}
		slices.Sort(asked)
		asked = slices.Compact(asked)
	})
	return asked
}

var sitesAddr = regexp.MustCompile(`10\.99\.\d+\.(\d+)`)
