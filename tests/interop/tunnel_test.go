package interop

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// Tunnels: in public.test of the ingress, in a private host's rule, the one that stands for all public ones, one that nobody
// knows; and those of the other services.
const (
	tunnelPrivate = "11111111-b74c-4916-86c1-d9fa36ea677b"
	tunnelPublic  = "22222222-b74c-4916-86c1-d9fa36ea677b"
	tunnelNobodys = "33333333-b74c-4916-86c1-d9fa36ea677b"
	tunnelHTTP    = "44444444-b74c-4916-86c1-d9fa36ea677b"
	tunnelTLS     = "55555555-b74c-4916-86c1-d9fa36ea677b"
	tunnelUDP     = "66666666-b74c-4916-86c1-d9fa36ea677b"
)

// tunnelServers are tunnel servers: with an entry point at $P1, with users, for anybody who knows an id.
const tunnelServers = `
services:
- {name: open, addr: $P0, bypass: bypass-0, handler: {type: tunnel, metadata: {entrypoint: $P1, entrypoint.id: ` + tunnelPublic + `, ingress: ingress-0, $MORE}}, listener: {type: tcp}}
- {name: users, addr: $P2, handler: {type: tunnel, auther: auther-0, metadata: {tunnel: "public.test:` + tunnel + `"}}, listener: {type: tcp}}
- {name: direct, addr: $P3, handler: {type: tunnel, metadata: {tunnel.direct: true}}, listener: {type: tcp}}
authers:
- {name: auther-0, auths: [{username: gost, password: secret}]}
bypasses:
- {name: bypass-0, matchers: [blocked.test]}
ingresses:
- name: ingress-0
  rules:
  - {hostname: public.test, endpoint: ` + tunnel + `}
  - {hostname: "*.wide.test", endpoint: ` + tunnel + `}
  - {hostname: private.test, endpoint: $` + tunnelPrivate + `}
  - {hostname: http.test, endpoint: ` + tunnelHTTP + `}
  - {hostname: tls.test, endpoint: ` + tunnelTLS + `}
  - {hostname: udp.test, endpoint: ` + tunnelUDP + `}
`

func serveTunnels(t *testing.T, binary, more string) []string {
	return serveSocks(t, binary, strings.ReplaceAll(tunnelServers, ", $MORE", more), 4)
}

// tunnelRequest is one of a visitor from 192.0.2.7:41806 for host, with more features behind.
func tunnelRequest(command, id, host, more string) string {
	features := "020007 01 c0000207 a34e" + fmt.Sprintf("02%04x 03 %02x %x 0000", len(host)+4, len(host), host) +
		"030014" + strings.ReplaceAll(id, "-", "") + "00000000" + more
	return fmt.Sprintf("01 %s %04x %s", command, len(strings.ReplaceAll(features, " ", ""))/2, features)
}

// tunnelTalks are conversations as relayTalks are, while nobody serves a tunnel.
var tunnelTalks = []struct {
	name, service, send, want string
}{
	{"nobody serves it", "P0", tunnelRequest("01", tunnel, "public.test", ""), "01050000"},
	{"a name below", "P0", tunnelRequest("01", tunnel, "a.wide.test", ""), "01050000"},
	{"private and known", "P0", tunnelRequest("01", tunnelPrivate, "private.test", ""), "01050000"},
	{"another's host", "P0", tunnelRequest("01", tunnelPrivate, "public.test", ""), "01060000"},
	{"unknown host", "P0", tunnelRequest("01", tunnel, "unknown.test", ""), "01060000"},
	{"no host", "P0", tunnelRequest("01", tunnel, "", ""), "01060000"},
	{"public", "P0", tunnelRequest("01", tunnelPublic, "public.test", ""), "01050000"},
	{"public but private", "P0", tunnelRequest("01", tunnelPublic, "private.test", ""), "01060000"},
	{"public and unknown", "P0", tunnelRequest("01", tunnelPublic, "unknown.test", ""), "01070000"},
	{"bypass", "P0", tunnelRequest("01", tunnel, "blocked.test", ""), "01030000"},
	{"datagrams", "P0", tunnelRequest("81", tunnel, "public.test", "0400020001"), "01050000"},
	{"no tunnel", "P0", "0101000a 020007 01 c0000207 a34e", "01010000"},
	{"all zeros", "P0", tunnelRequest("01", strings.Repeat("0", 32), "public.test", ""), "01010000"},
	{"bind without a tunnel", "P0", "0102000a 020007 01 c0000207 a34e", "01010000"},
	{"associate", "P0", tunnelRequest("03", tunnel, "public.test", ""), "01010000"},
	{"other version", "P0", "0201000a 020007 01 c0000207 a34e", ""},
	{"user", "P2", tunnelRequest("01", tunnel, "public.test", "01000c 04676f7374 06736563726574"), "01050000"},
	{"wrong password", "P2", tunnelRequest("01", tunnel, "public.test", "01000b 04676f7374 0577726f6e67"), "01020000"},
	{"no user", "P2", tunnelRequest("01", tunnel, "public.test", ""), "01020000"},
	{"no user and no tunnel", "P2", "0101000a 020007 01 c0000207 a34e", "01010000"},
	{"direct", "P3", tunnelRequest("01", tunnelNobodys, "unknown.test", ""), "01050000"},
	{"entry point: nobody serves it", "P1", "GET / HTTP/1.1\r\nHost: public.test\r\n\r\n", "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"},
	{"entry point: private", "P1", "GET / HTTP/1.1\r\nHost: private.test\r\n\r\n", "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"},
	{"entry point: unknown", "P1", "POST /a HTTP/1.1\r\nHost: unknown.test:81\r\nContent-Length: 1\r\n\r\nx", "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"},
	{"entry point: from another node", "P1", tunnelRequest("01", tunnelNobodys, "public.test", ""), "01050000"},
	{"entry point: no tunnel", "P1", "0101000a 020007 01 c0000207 a34e", "01010000"},
	{"entry point: garbage", "P1", "00010203 0d0a0d0a", ""},
}

func TestTunnelBytes(t *testing.T) {
	for _, gateway := range bothGateways {
		t.Run(gateway.name, func(t *testing.T) {
			addrs := serveTunnels(t, gateway.binary(t), "")
			bytesOf := func(text string) string {
				if strings.Contains(text, "HTTP") {
					return hex.EncodeToString([]byte(text))
				}
				return text
			}
			for _, talk := range tunnelTalks {
				t.Run(talk.name, func(t *testing.T) {
					t.Parallel()
					want := unhex(t, bytesOf(talk.want))
					got := converse(t, addrs[talk.service[1]-'0'], bytesOf(talk.send), want)
					if !bytes.Equal(got, want) {
						t.Errorf("got %q, want %q", got, want)
					}
				})
			}
			t.Run("bind", func(t *testing.T) {
				// With its own host, since the other is none of an ingress here; the connector's id is anybody's guess.
				want := unhex(t, "0100002e 020014 03 10"+hex.EncodeToString([]byte("a6265c6d9847a4be"))+"0000 030014")
				request := tunnelRequest("02", tunnel, "", "")
				conn := dialSocks(t, addrs[2])
				conn.Write(unhex(t, strings.Replace(tunnelRequest("02", tunnel, "", "01000c 04676f7374 06736563726574"), "00000000", "00000009", 1)))
				got := make([]byte, 50)
				if _, err := io.ReadFull(conn, got); err != nil || !bytes.HasPrefix(got, want) || !bytes.Equal(got[46:], []byte{0, 0, 0, 9}) {
					t.Errorf("got %x, %v to %s, want %x…00000009", got, err, request, want)
				}
			})
		})
	}
}

// cutter passes connections on to addr until it cuts them all off.
type cutter struct {
	listener net.Listener
	mutex    sync.Mutex
	conns    []net.Conn
	held     sync.RWMutex
}

func newCutter(t *testing.T, addr string) *cutter {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{listener: listener}
	t.Cleanup(func() { listener.Close(); c.cut() })
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", addr)
			if err != nil {
				near.Close()
				continue
			}
			c.mutex.Lock()
			c.conns = append(c.conns, near, far)
			c.mutex.Unlock()
			go c.pass(near, far)
			go c.pass(far, near)
		}
	}()
	return c
}

// pass copies what comes, while nobody holds it.
func (c *cutter) pass(to, from net.Conn) {
	defer to.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		c.held.RLock()
		_, err = to.Write(buffer[:n])
		c.held.RUnlock()
		if err != nil {
			return
		}
	}
}

// hold keeps all connections open and lets nothing pass any more, until it is called again.
func (c *cutter) hold(hold bool) {
	if hold {
		c.held.Lock()
	} else {
		c.held.Unlock()
	}
}

func (c *cutter) addr() string { return c.listener.Addr().String() }

func (c *cutter) cut() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for _, conn := range c.conns {
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}
	c.conns = nil
}

// greeter says hello first, and then sends back what it is sent.
func greeter(t *testing.T) string {
	return serveEach(t, "tcp4", "127.0.0.1:0", func(conn net.Conn) {
		conn.Write([]byte("hello "))
		io.Copy(conn, conn)
	})
}

// greeted is a connection at whose other end is a greeter.
func greeted(addr string) (net.Conn, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(3 * deadline))
	greeting := make([]byte, 6)
	if _, err := io.ReadFull(conn, greeting); err != nil || string(greeting) != "hello " {
		conn.Close()
		return nil, fmt.Errorf("the greeting is %q: %v", greeting, err)
	}
	return conn, nil
}

// sent sends data and checks that it comes back.
func sent(conn net.Conn, data []byte) error {
	go conn.Write(data)
	sum := sha256.New()
	if _, err := io.CopyN(sum, conn, int64(len(data))); err != nil {
		return err
	}
	if want := sha256.Sum256(data); !bytes.Equal(sum.Sum(nil), want[:]) {
		return errors.New("other bytes came back")
	}
	return nil
}

// TestTunnels has a server, a client that serves tunnels, and a visitor.
func TestTunnels(t *testing.T) {
	hello, mirror := greeter(t), udpMirror(t)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s %v %s", r.Method, r.Host, r.URL, r.Header.Get("Gost-Forwarded-Node") != "", body)
	})
	plain, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	for _, who := range [][3]int{{1, 0, 0}, {0, 1, 1}, {1, 1, 1}, {1, 0, 1}, {0, 0, 1}, {1, 1, 0}, {0, 1, 0}} {
		server, client, visitor := bothGateways[who[0]], bothGateways[who[1]], bothGateways[who[2]]
		t.Run(fmt.Sprintf("%s serves %s for %s", server.name, client.name, visitor.name), func(t *testing.T) {
			drawspanBinary(t)
			servers := serveTunnels(t, server.binary(t), ", mux.keepaliveInterval: 300ms, mux.keepaliveTimeout: 1s")
			way := newCutter(t, servers[0])
			var config strings.Builder
			config.WriteString("services:\n")
			serve := func(name, listener, target string) {
				fmt.Fprintf(&config, "- {name: %s, addr: ':0', handler: {type: %s}, listener: {type: %s, chain: %s}, forwarder: {nodes: [{name: n, addr: '%s'}]}}\n", name, listener, listener, name, target)
			}
			serve("stream", "rtcp", hello)
			serve("http", "rtcp", plain.Listener.Addr().String())
			serve("tls", "rtcp", secure.Listener.Addr().String())
			serve("udp", "rudp", mirror)
			config.WriteString("chains:\n")
			chain := func(name, addr, id string) {
				fmt.Fprintf(&config, "- {name: %s, hops: [{name: h, nodes: [{name: n, addr: '%s', connector: {type: tunnel, metadata: {tunnel.id: %s, mux.keepaliveInterval: 300ms, mux.keepaliveTimeout: 1s}}, dialer: {type: tcp}}]}]}\n", name, addr, id)
			}
			chain("stream", way.addr(), tunnel)
			chain("http", way.addr(), tunnelHTTP)
			chain("tls", way.addr(), tunnelTLS)
			chain("udp", way.addr(), tunnelUDP)
			file := filepath.Join(t.TempDir(), "client.yaml")
			if err := os.WriteFile(file, []byte(config.String()), 0o600); err != nil {
				t.Fatal(err)
			}
			startGateway(t, client.binary(t), file)
			config.Reset()
			config.WriteString("services:\n" +
				"- {name: udp, addr: $P0, handler: {type: udp, chain: udp}, listener: {type: udp, metadata: {keepalive: true, readBufferSize: 65535}}, forwarder: {nodes: [{name: n, addr: 'udp.test:53'}]}}\n" +
				"- {name: stream, addr: $P1, handler: {type: tcp, chain: stream}, listener: {type: tcp}, forwarder: {nodes: [{name: n, addr: 'public.test:80'}]}}\n" +
				"chains:\n")
			chain("stream", servers[0], tunnel)
			chain("udp", servers[0], tunnelUDP)
			visitors := serveUDP(t, visitor.binary(t), config.String(), 2)
			come := func() net.Conn {
				var conn net.Conn
				eventually(t, "a visit", nil, func() (ok bool) {
					var err error
					conn, err = greeted(visitors[1])
					return err == nil
				})
				return conn
			}
			data := make([]byte, 64<<20)
			rand.New(rand.NewSource(1)).Read(data)

			t.Run("64 MiB", func(t *testing.T) {
				conn := come()
				defer conn.Close()
				if err := sent(conn, data); err != nil {
					t.Fatal(err)
				}
			})
			t.Run("streams", func(t *testing.T) {
				const count = 300
				failed := make(chan error, count)
				for i := range count {
					go func() {
						conn, err := greeted(visitors[1])
						if err == nil {
							err = sent(conn, data[i<<10:][:100<<10])
							conn.Close()
						}
						failed <- err
					}()
				}
				for range count {
					if err := <-failed; err != nil {
						t.Error(err)
					}
				}
			})
			t.Run("datagrams", func(t *testing.T) { checkMirror(t, visitors[0], []int{1, 1400, 30000}) })
			t.Run("http", func(t *testing.T) {
				conn := dialSocks(t, servers[1])
				request := "POST /a?b HTTP/1.1\r\nHost: http.test\r\nContent-Length: 5\r\n\r\nhello"
				for range 3 {
					conn.Write([]byte(request))
					if status, body := response(t, conn); status != 200 || body != "POST http.test /a?b true hello" {
						t.Fatalf("%d %q", status, body)
					}
				}
			})
			t.Run("tls", func(t *testing.T) {
				conn, err := tls.Dial("tcp", servers[1], &tls.Config{ServerName: "tls.test", InsecureSkipVerify: true})
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				conn.Write([]byte("GET / HTTP/1.1\r\nHost: tls.test\r\n\r\n"))
				if status, body := response(t, conn); status != 200 || body != "GET tls.test / false " {
					t.Fatalf("%d %q", status, body)
				}
			})
			// From here on it is mostly waiting.
			t.Parallel()
			t.Run("silence", func(t *testing.T) {
				conn := come()
				defer conn.Close()
				// Both sides give up after a second without a sign of life.
				time.Sleep(3 * time.Second)
				if err := sent(conn, data[:1<<10]); err != nil {
					t.Fatal(err)
				}
			})
			t.Run("a lost connection", func(t *testing.T) {
				conn := come()
				way.cut()
				if n, err := conn.Read(make([]byte, 1)); err == nil {
					t.Errorf("%d bytes from nobody", n)
				}
				conn.Close()
				conn = come()
				defer conn.Close()
				if err := sent(conn, data[:1<<20]); err != nil {
					t.Fatal(err)
				}
			})
			t.Run("a half-dead client", func(t *testing.T) {
				conn := come()
				defer conn.Close()
				way.hold(true)
				defer way.hold(false)
				if n, err := conn.Read(make([]byte, 1)); err == nil {
					t.Errorf("%d bytes from nobody", n)
				}
			})
		})
	}
}

// TestTunnelOfNobody has a client that names no tunnel, as for a public server: it gets one of its own, with a host.
func TestTunnelOfNobody(t *testing.T) {
	t.Parallel()
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) }))
	t.Cleanup(plain.Close)
	for _, pair := range [][2]int{{0, 0}, {0, 1}, {1, 0}, {1, 1}} {
		client, server := bothGateways[pair[0]], bothGateways[pair[1]]
		t.Run(client.name+" at "+server.name, func(t *testing.T) {
			t.Parallel()
			binary := client.binary(t)
			plugins := startPluginserver(t)
			addrs := serveSocks(t, server.binary(t), fmt.Sprintf(`
services:
- {name: s, addr: $P0, handler: {type: tunnel, metadata: {entrypoint: $P1, ingress: i}}, listener: {type: wss}}
ingresses: [{name: i, plugin: %s}]
`, plugins.block("http", "ingress")), 2)
			startGateway(t, binary, configFile(t, `
services:
- {name: s, addr: ":0", handler: {type: rtcp}, listener: {type: rtcp, chain: c}, forwarder: {nodes: [{name: n, addr: '%s'}]}}
chains:
- {name: c, hops: [{name: h, nodes: [{name: n, addr: %q, connector: {type: tunnel}, dialer: {type: wss}}]}]}
`, plain.Listener.Addr(), addrs[0]))
			var rule struct{ Host, Endpoint string }
			eventually(t, "a host", nil, func() bool {
				for _, r := range plugins.asked(t) {
					if r.Method == http.MethodPut && json.Unmarshal([]byte(r.Body), &rule) != nil {
						t.Errorf("%q", r.Body)
					}
				}
				return rule.Host != ""
			})
			if sum := md5.Sum([]byte(rule.Endpoint)); rule.Host != hex.EncodeToString(sum[:8]) || !uuids.MatchString(rule.Endpoint) {
				t.Errorf("the host is %+v", rule)
			}
			eventually(t, "a visit", nil, func() bool {
				conn := dialSocks(t, addrs[1])
				defer conn.Close()
				fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", rule.Host)
				status, body := response(t, conn)
				return status == 200 && body == rule.Host
			})
		})
	}
}

// response is the next one from conn.
func response(t *testing.T, conn net.Conn) (int, string) {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(deadline))
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// tunnelModules has a server all of whose modules are plugins.
const tunnelModules = `
services:
- {name: service-0, addr: $P0, bypass: bypass-0, handler: {type: tunnel, auther: auther-0, metadata: {entrypoint: $P1, ingress: ingress-0, sd: sd-0, tunnel.ttl: 1s}}, listener: {type: tcp}}
authers: [{name: auther-0, plugin: $AUTHER}]
bypasses: [{name: bypass-0, plugin: $BYPASS}]
ingresses: [{name: ingress-0, plugin: $INGRESS}]
sds: [{name: sd-0, plugin: $SD}]
`

var (
	uuids    = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	loopback = regexp.MustCompile(`127\.0\.0\.1:\d+`)
)

// TestTunnelModules compares what modules are asked and told, with their fields; components, too.
func TestTunnelModules(t *testing.T) {
	t.Parallel()
	const user = "01000c 04676f7374 06736563726574"
	for _, kind := range []string{"grpc", "http"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			run := func(t *testing.T, binary string, isWasm bool) (all []any) {
				server := startPluginserver(t, "-user", "gost", "-password", "secret")
				addrs := []string{unusedAddr(t), unusedAddr(t)}
				fill := []string{"$P0", addrs[0], "$P1", addrs[1]}
				for _, module := range []string{"auther", "bypass", "ingress", "sd"} {
					block := server.block(kind, module)
					if isWasm {
						block = toldBlock(t, "")
					}
					fill = append(fill, "$"+strings.ToUpper(module), block)
				}
				log := startGateway(t, binary, configFile(t, "%s", strings.NewReplacer(fill...).Replace(tunnelModules)), addrs...)
				if isWasm {
					server = &pluginServer{log: log, bell: addrs[0]}
				}
				told := func(asked []record) (all []any) {
					ids := map[string]string{tunnel: "tunnel"}
					for _, r := range asked {
						text := uuids.ReplaceAllStringFunc(r.Method+" "+r.Path+"?"+r.Query+" "+r.Body, func(id string) string {
							if ids[id] == "" {
								ids[id] = fmt.Sprintf("id-%d", len(ids))
							}
							return ids[id]
						})
						text = loopback.ReplaceAllString(strings.ReplaceAll(text, addrs[1], "entrypoint"), "…")
						// GOST sets the tunnel's own host twice.
						if len(all) > 0 && all[len(all)-1] == text {
							continue
						}
						all = append(all, text)
					}
					return all
				}
				settle(t, server)
				// A client that serves the tunnel comes and goes.
				conn := dialSocks(t, addrs[0])
				conn.Write(unhex(t, tunnelRequest("02", tunnel, "new.test", user)))
				if _, err := io.ReadFull(conn, make([]byte, 42)); err != nil {
					t.Fatal(err)
				}
				asked := until(t, server, 6)
				conn.Close()
				for !strings.Contains(fmt.Sprint(asked[len(asked)-1]), "eregister") && asked[len(asked)-1].Method != "DELETE" {
					asked = append(asked, until(t, server, 1)...)
				}
				all = append(all, told(asked))
				for _, talk := range []string{
					tunnelRequest("01", tunnel, "public.test", user),
					tunnelRequest("01", tunnel, "unknown.test", user),
					tunnelRequest("01", tunnel, "x.blocked", user),
					tunnelRequest("01", tunnel, "public.test", "01000b 04676f7374 0577726f6e67"),
					hex.EncodeToString([]byte("GET / HTTP/1.1\r\nHost: public.test\r\n\r\n")),
					hex.EncodeToString([]byte("GET / HTTP/1.1\r\nHost: unknown.test\r\n\r\n")),
				} {
					settle(t, server)
					converse(t, addrs[0+strings.Count(talk[:2], "4")], talk, []byte("more than comes back, so that the end is waited for, whatever it says to that"))
					all = append(all, told(server.asked(t)))
				}
				return all
			}
			gost := run(t, gostpeer, false)
			asks := func(t *testing.T, drawspan []any) {
				for i := range gost {
					if !reflect.DeepEqual(gost[i], drawspan[i]) {
						t.Errorf("%d: it asks and tells\n%s\nwant, as GOST,\n%s", i, pretty(drawspan[i]), pretty(gost[i]))
					}
				}
			}
			t.Run("drawspan", func(t *testing.T) { asks(t, run(t, drawspanBinary(t), false)) })
			if kind == "http" {
				t.Run("wasm", func(t *testing.T) { asks(t, run(t, drawspanBinary(t), true)) })
			}
		})
	}
}

// TestTunnelDiscovery has a server of each gateway, which find each other's tunnels.
func TestTunnelDiscovery(t *testing.T) {
	hello, mirror := greeter(t), udpMirror(t)
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) }))
	t.Cleanup(plain.Close)
	for _, pair := range [][2]int{{0, 1}, {1, 0}, {1, 1}} {
		near, far := bothGateways[pair[0]], bothGateways[pair[1]]
		t.Run(near.name+" finds "+far.name, func(t *testing.T) {
			drawspanBinary(t)
			server := startPluginserver(t)
			more := ", sd: sd-0"
			config := strings.ReplaceAll(tunnelServers, ", $MORE", more) + "sds: [{name: sd-0, plugin: {type: grpc, addr: '" + server.grpc + "'}}]\n"
			nears, fars := serveSocks(t, near.binary(t), config, 4), serveSocks(t, far.binary(t), config, 4)
			file := filepath.Join(t.TempDir(), "client.yaml")
			client := fmt.Sprintf(`
services:
- {name: stream, addr: ':0', handler: {type: rtcp}, listener: {type: rtcp, chain: stream}, forwarder: {nodes: [{name: n, addr: '%s'}]}}
- {name: http, addr: ':0', handler: {type: rtcp}, listener: {type: rtcp, chain: http}, forwarder: {nodes: [{name: n, addr: '%s'}]}}
- {name: udp, addr: ':0', handler: {type: rudp}, listener: {type: rudp, chain: udp}, forwarder: {nodes: [{name: n, addr: '%s'}]}}
chains:
- {name: udp, hops: [{name: h, nodes: [{name: n, addr: '%s', connector: {type: tunnel, metadata: {tunnel.id: %s}}, dialer: {type: tcp}}]}]}
- {name: stream, hops: [{name: h, nodes: [{name: n, addr: '%s', connector: {type: tunnel, metadata: {tunnel.id: %s}}, dialer: {type: tcp}}]}]}
- {name: http, hops: [{name: h, nodes: [{name: n, addr: '%s', connector: {type: tunnel, metadata: {tunnel.id: %s}}, dialer: {type: tcp}}]}]}
`, hello, plain.Listener.Addr(), mirror, fars[0], tunnelUDP, fars[0], tunnel, fars[0], tunnelHTTP)
			if err := os.WriteFile(file, []byte(client), 0o600); err != nil {
				t.Fatal(err)
			}
			startGateway(t, gostpeer, file)
			for _, visit := range []struct{ send, want string }{
				{tunnelRequest("01", tunnel, "public.test", ""), "01000000" + hex.EncodeToString([]byte("hello "))},
				{tunnelRequest("81", tunnelUDP, "udp.test", "0400020001") + "0003616263", "010000000003636261"},
			} {
				eventually(t, "the tunnel", nil, func() bool {
					conn := dialSocks(t, nears[0])
					defer conn.Close()
					conn.Write(unhex(t, visit.send))
					conn.SetReadDeadline(time.Now().Add(time.Second))
					want := unhex(t, visit.want)
					answer := make([]byte, len(want))
					io.ReadFull(conn, answer)
					return bytes.Equal(answer, want)
				})
			}
			conn := dialSocks(t, nears[1])
			conn.Write([]byte("GET / HTTP/1.1\r\nHost: http.test\r\n\r\n"))
			if status, body := response(t, conn); status != 200 || body != "http.test" {
				t.Errorf("%d %q", status, body)
			}
		})
	}
}
