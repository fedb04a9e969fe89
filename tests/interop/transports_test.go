package interop

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// transportServices are proxies and forwarders over every transport; $U and $V are paths, $ECHO and $GREETER are servers.
const transportServices = `
services:
- {name: http, addr: $P0, bypass: bypass-0, handler: {type: http}, listener: {type: tcp}}
- {name: user, addr: $P1, handler: {type: http, auther: auther-0}, listener: {type: tcp}}
- {name: tls, addr: $P2, handler: {type: http}, listener: {type: tls}}
- {name: ws, addr: $P3, handler: {type: http}, listener: {type: ws}}
- {name: wss, addr: $P4, handler: {type: http, auther: auther-0}, listener: {type: wss, metadata: {path: /way}}}
- {name: socks5, addr: $P5, handler: {type: socks5, auther: auther-0, metadata: {udp: true, udp.bufferSize: 65535}}, listener: {type: wss}}
- {name: auto, addr: $P6, handler: {type: auto}, listener: {type: tls}}
- {name: socks4, addr: $P7, handler: {type: socks4}, listener: {type: ws}}
- {name: proxied, addr: $P8, handler: {type: http}, listener: {type: tls}, metadata: {proxyProtocol: 1}}
- {name: unix, addr: $U, handler: {type: http}, listener: {type: unix}}
- {name: unix-forward, addr: $V, handler: {type: tcp}, listener: {type: unix}, forwarder: {nodes: [{name: n, addr: $ECHO}]}}
- {name: forward, addr: $P9, handler: {type: forward}, listener: {type: tcp}, forwarder: {nodes: [{name: n, addr: $ECHO}]}}
- {name: forward-tls, addr: $Q0, handler: {type: tcp}, listener: {type: tls}, forwarder: {nodes: [{name: n, addr: $ECHO}]}}
- {name: greeter, addr: $Q1, handler: {type: tcp}, listener: {type: wss}, forwarder: {nodes: [{name: n, addr: $GREETER}]}}
authers:
- {name: auther-0, auths: [{username: gost, password: secret}, {username: plain}]}
bypasses:
- {name: bypass-0, matchers: [127.0.0.9]}
`

// transportNodes are ways from a first proxy through one of them.
var transportNodes = []struct {
	name, node string
	forwards   bool // to a target of its own
	greets     bool // that speaks first
	refused    bool // it lets nobody through
	ours       bool // GOST's connector takes unix connections for datagrams
}{
	{name: "http", node: "addr: $P0, connector: {type: http}, dialer: {type: tcp}"},
	{name: "http user", node: "addr: $P1, connector: {type: http, auth: {username: gost, password: secret}}, dialer: {type: tcp}"},
	{name: "http wrong password", node: "addr: $P1, connector: {type: http, auth: {username: gost, password: wrong}}, dialer: {type: tcp}", refused: true},
	{name: "http no user", node: "addr: $P1, connector: {type: http}, dialer: {type: tcp}", refused: true},
	{name: "http over tls", node: "addr: $P2, connector: {type: http}, dialer: {type: tls}"},
	{name: "http over ws", node: "addr: $P3, connector: {type: http}, dialer: {type: ws}"},
	{name: "http over wss", node: "addr: $P4, connector: {type: http, auth: {username: gost, password: secret}}, dialer: {type: wss, metadata: {path: /way}}"},
	{name: "http over wss, wrong password", node: "addr: $P4, connector: {type: http, auth: {username: gost, password: wrong}}, dialer: {type: wss, metadata: {path: /way}}", refused: true},
	{name: "wss, another path", node: "addr: $P4, connector: {type: http, auth: {username: gost, password: secret}}, dialer: {type: wss}", refused: true},
	{name: "tls, and there is none", node: "addr: $P0, connector: {type: http}, dialer: {type: tls}", refused: true},
	{name: "socks5 over wss", node: "addr: $P5, connector: {type: socks5, auth: {username: gost, password: secret}}, dialer: {type: wss}"},
	{name: "socks5 over wss, wrong password", node: "addr: $P5, connector: {type: socks5, auth: {username: gost, password: wrong}}, dialer: {type: wss}", refused: true},
	{name: "socks5 without its password", node: "addr: $P5, connector: {type: socks5}, dialer: {type: wss}", refused: true},
	{name: "auto over tls", node: "addr: $P6, connector: {type: socks4}, dialer: {type: tls}"},
	{name: "socks4 over ws", node: "addr: $P7, connector: {type: socks4}, dialer: {type: ws}"},
	{name: "PROXY 1 before tls", node: "addr: $P8, connector: {type: http}, dialer: {type: tls}, metadata: {proxyProtocol: 1}"},
	{name: "PROXY 2 before tls", node: "addr: $P8, connector: {type: http}, dialer: {type: tls}, metadata: {proxyProtocol: 2}"},
	{name: "no PROXY header", node: "addr: $P8, connector: {type: http}, dialer: {type: tls}"},
	{name: "unix", node: "addr: $V, connector: {type: forward}, dialer: {type: unix}", forwards: true},
	{name: "http over unix", node: "addr: $U, connector: {type: http}, dialer: {type: unix}", ours: true},
	{name: "tcp", node: "addr: $P9, connector: {type: tcp}, dialer: {type: tcp}", forwards: true},
	{name: "forward over tls", node: "addr: $Q0, connector: {type: forward}, dialer: {type: tls}", forwards: true},
	{name: "forward to who speaks first", node: "addr: $Q1, connector: {type: forward}, dialer: {type: wss}", forwards: true, greets: true},
}

// TestTransports sends 64 MiB there and back through each of them, in all pairs.
func TestTransports(t *testing.T) {
	echoes, greeter := echoServer(t, "tcp4", "127.0.0.1:0"), greeter(t)
	for _, pair := range [][2]int{{0, 0}, {0, 1}, {1, 0}, {1, 1}} {
		first, second := bothGateways[pair[0]], bothGateways[pair[1]]
		t.Run(first.name+" through "+second.name, func(t *testing.T) {
			binary := first.binary(t)
			fill := transportAddrs(t, echoes, greeter)
			seconds := serveSocks(t, second.binary(t), strings.NewReplacer(fill...).Replace(transportServices), 10)
			for i, addr := range seconds {
				fill = append(fill, fmt.Sprintf("$P%d", i), addr)
			}
			var config strings.Builder
			config.WriteString("services:\n")
			for i := range transportNodes {
				fmt.Fprintf(&config, "- {name: s%d, addr: $P%d, handler: {type: socks5, chain: c%d, metadata: {udp: true, udp.bufferSize: 65535}}, listener: {type: tcp}}\n", i, i, i)
			}
			config.WriteString("chains:\n")
			for i, node := range transportNodes {
				fmt.Fprintf(&config, "- {name: c%d, hops: [{name: h, nodes: [{name: n, %s}]}]}\n", i, strings.NewReplacer(fill...).Replace(node.node))
			}
			firsts := serveSocks(t, binary, config.String(), len(transportNodes))
			// GOST alone only shows that the table is right.
			size := 64 << 20
			if pair[0] == pair[1] {
				size = 4 << 20
			}
			for i, node := range transportNodes {
				t.Run(node.name, func(t *testing.T) {
					if node.ours && pair[0] == 0 {
						t.Skip("GOST's connector takes unix connections for datagrams")
					}
					if node.refused {
						checkRefused(t, firsts[i], echoes)
						return
					}
					// GOST's connectors lose what a server says together with the proxy's answer, and its SOCKS5 closes both
					// directions when one ends.
					target, greets := echoes, node.greets
					if pair[0] == 1 && !node.forwards {
						target, greets = greeter, true
					}
					conn := socks5(t, firsts[i], 1, target)
					checkThereAndBack(t, conn, size, greets, pair == [2]int{1, 1})
				})
			}
			t.Run("datagrams over wss", func(t *testing.T) {
				for i, node := range transportNodes {
					if node.name == "socks5 over wss" {
						checkDatagrams(t, firsts[i], false)
					}
				}
			})
		})
	}
}

// transportAddrs are those that don't change with the pair.
func transportAddrs(t *testing.T, echoes, greeter string) []string {
	folder := t.TempDir()
	return []string{
		"$U", filepath.Join(folder, "u"), "$V", filepath.Join(folder, "v"), "$Q0", unusedAddr(t), "$Q1", unusedAddr(t),
		"$ECHO", echoes, "$GREETER", greeter,
	}
}

// TestTransportsHalfClosed ends a client's direction first, through a single forwarder of each gateway.
func TestTransportsHalfClosed(t *testing.T) {
	echoes, greeter := echoServer(t, "tcp4", "127.0.0.1:0"), greeter(t)
	for _, gateway := range bothGateways {
		t.Run(gateway.name, func(t *testing.T) {
			fill := transportAddrs(t, echoes, greeter)
			addrs := serveSocks(t, gateway.binary(t), strings.NewReplacer(fill...).Replace(transportServices), 10)
			checkThereAndBack(t, dialSocks(t, addrs[9]), 4<<20, false, true)
			conn := dialSocks(t, addrs[0])
			fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", greeter, greeter)
			want := established + "Proxy-Agent: gost/3.0\r\n\r\n"
			got := make([]byte, len(want))
			if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
				t.Fatalf("got %q, %v", got, err)
			}
			checkThereAndBack(t, conn, 4<<20, true, true)
		})
	}
}

// TestProxyHeaders compares what targets are told about clients.
func TestProxyHeaders(t *testing.T) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	target := listener.Addr().String()
	for _, gateway := range bothGateways {
		t.Run(gateway.name, func(t *testing.T) {
			addrs := serveSocks(t, gateway.binary(t), fmt.Sprintf(`
services:
- {name: v1, addr: $P0, handler: {type: tcp, metadata: {proxyProtocol: 1}}, listener: {type: tcp}, forwarder: {nodes: [{name: n, addr: %s}]}}
- {name: v2, addr: $P1, handler: {type: tcp, metadata: {proxyProtocol: 2}}, listener: {type: tcp}, forwarder: {nodes: [{name: n, addr: %s}]}}
- {name: passed, addr: $P2, handler: {type: tcp, metadata: {proxyProtocol: 2}}, listener: {type: tcp}, metadata: {proxyProtocol: 1}, forwarder: {nodes: [{name: n, addr: %s}]}}
- {name: node, addr: $P3, handler: {type: http, chain: c}, listener: {type: tcp}}
chains:
- {name: c, hops: [{name: h, nodes: [{name: n, addr: %s, connector: {type: tcp}, dialer: {type: tcp}, metadata: {proxyProtocol: 1}}]}]}
`, target, target, target, target), 4)
			// What looked whether somebody listens was passed on too.
			for _, row := range []struct {
				service int
				send    string
				want    func(client *net.TCPAddr, service string) string
			}{
				{0, "hello", func(client *net.TCPAddr, service string) string {
					_, port, _ := net.SplitHostPort(service)
					return fmt.Sprintf("PROXY TCP4 127.0.0.1 127.0.0.1 %d %s\r\nhello", client.Port, port)
				}},
				{1, "hello", func(client *net.TCPAddr, service string) string {
					return string(proxyV2(t, fmt.Sprintf("7f000001 7f000001 %04x %s", client.Port, hexPort(service)))) + "hello"
				}},
				{2, "PROXY TCP4 192.0.2.7 198.51.100.9 4711 443\r\nhello", func(*net.TCPAddr, string) string {
					return string(proxyV2(t, "c0000207 c6336409 1267 01bb")) + "hello"
				}},
				{2, string(proxyV2(t, "c0000207 c6336409 1267 01bb")) + "hello", func(*net.TCPAddr, string) string {
					return string(proxyV2(t, "c0000207 c6336409 1267 01bb")) + "hello"
				}},
				{3, "CONNECT x.test:80 HTTP/1.1\r\nHost: x.test:80\r\n\r\nhello", func(client *net.TCPAddr, service string) string {
					_, port, _ := net.SplitHostPort(service)
					return fmt.Sprintf("PROXY TCP4 127.0.0.1 127.0.0.1 %d %s\r\nhello", client.Port, port)
				}},
			} {
				conn := dialSocks(t, addrs[row.service])
				io.WriteString(conn, row.send)
				want := row.want(conn.LocalAddr().(*net.TCPAddr), addrs[row.service])
				if got := acceptHello(t, listener, len(want)); got != want {
					t.Errorf("service %d, %q: got %q, want %q", row.service, row.send, got, want)
				}
			}
		})
	}
}

func proxyV2(t *testing.T, addresses string) []byte {
	return unhex(t, "0d0a0d0a000d0a515549540a 21 11 000c "+addresses)
}

// acceptHello reads of the connection on which "hello" comes, passing over others.
func acceptHello(t *testing.T, listener net.Listener, length int) string {
	for {
		listener.(*net.TCPListener).SetDeadline(time.Now().Add(deadline))
		conn, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(deadline))
		got := make([]byte, length)
		read, _ := io.ReadFull(conn, got)
		conn.Close()
		if bytes.HasSuffix(got[:read], []byte("hello")) {
			return string(got[:read])
		}
	}
}

// TestSni leaves the target to a node that finds it in what clients say, and compares the disguise.
func TestSni(t *testing.T) {
	origin := startOrigin(t)
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	config := `
services:
- {name: sni, addr: $P0, handler: {type: socks5, chain: sni}, listener: {type: tcp}}
- {name: hidden, addr: $P1, handler: {type: socks5, chain: hidden}, listener: {type: tcp}}
- {name: seen, addr: $P2, handler: {type: socks5, chain: seen}, listener: {type: tcp}}
chains:
- {name: sni, hops: [{name: h, nodes: [{name: n, addr: $SNI, connector: {type: sni}, dialer: {type: tcp}}]}]}
- {name: hidden, hops: [{name: h, nodes: [{name: n, addr: $HTTP, connector: {type: sni, metadata: {host: cdn.test}}, dialer: {type: tcp}}]}]}
- {name: seen, hops: [{name: h, nodes: [{name: n, addr: $SEEN, connector: {type: sni, metadata: {host: cdn.test}}, dialer: {type: tcp}}]}]}
`
	sni := serveSocks(t, gostpeer, "services:\n- {name: sni, addr: $P0, handler: {type: sni}, listener: {type: tcp}}\n", 1)[0]
	for _, pair := range [][2]int{{0, 0}, {0, 1}, {1, 0}, {1, 1}} {
		first, second := bothGateways[pair[0]], bothGateways[pair[1]]
		t.Run(first.name+" through "+second.name, func(t *testing.T) {
			binary := first.binary(t)
			http := serveSocks(t, second.binary(t), "services:\n- {name: http, addr: $P0, handler: {type: http}, listener: {type: tcp}}\n", 1)[0]
			fill := strings.NewReplacer("$SNI", sni, "$HTTP", http, "$SEEN", listener.Addr().String())
			addrs := serveSocks(t, binary, fill.Replace(config), 3)
			head := "GET /path HTTP/1.1\r\nHost: " + origin + "\r\nUser-Agent: interop\r\n\r\n"
			conn := socks5(t, addrs[0], 1, origin)
			io.WriteString(conn, head)
			answer, err := readAnswer(bufio.NewReader(conn))
			if err != nil || !strings.HasPrefix(answer, ok) || !strings.Contains(answer, head[:len(head)-2]) {
				t.Errorf("got %q, %v", answer, err)
			}
			// The proxy finds the hidden name.
			conn = socks5(t, addrs[1], 1, origin)
			fmt.Fprintf(conn, "CONNECT seen.test:80 HTTP/1.1\r\nHost: %s\r\n\r\n", origin)
			reader := bufio.NewReader(conn)
			if answer, err := readAnswer(reader); err != nil || !strings.HasPrefix(answer, established) {
				t.Errorf("got %q, %v", answer, err)
			}
			io.WriteString(conn, head)
			if answer, err := readAnswer(reader); err != nil || !strings.HasPrefix(answer, ok) {
				t.Errorf("got %q, %v", answer, err)
			}
			conn = socks5(t, addrs[2], 1, origin)
			const request = "GET / HTTP/1.1\r\nHost: www.test\r\nX: hello"
			io.WriteString(conn, request+"\r\n\r\n")
			want := "GET / HTTP/1.1\r\nHost: cdn.test\r\nGost-Target: e5WkSWQzZDNMblJsYzNR\r\nX: hello"
			if got := acceptHello(t, listener, len(want)); got != want {
				t.Errorf("the node sees %q, want %q", got, want)
			}
		})
	}
}

// checkThereAndBack sends so many bytes to who sends them back, which greets first or not. If it is told the end by half-closing, it
// must end too, and nothing may follow.
func checkThereAndBack(t *testing.T, conn net.Conn, size int, greets, halfCloses bool) {
	t.Helper()
	if greets {
		greeting := make([]byte, 6)
		if _, err := io.ReadFull(conn, greeting); err != nil || string(greeting) != "hello " {
			t.Fatalf("the greeting is %q, %v", greeting, err)
		}
	}
	block := make([]byte, 1<<20)
	rand.New(rand.NewSource(1)).Read(block)
	sent, got := sha256.New(), sha256.New()
	failed := make(chan error, 1)
	go func() {
		for range size >> 20 {
			sent.Write(block)
			if _, err := conn.Write(block); err != nil {
				failed <- err
				return
			}
		}
		if halfCloses {
			conn.(*net.TCPConn).CloseWrite()
		}
		failed <- nil
	}()
	var from io.Reader = conn
	if !halfCloses {
		from = io.LimitReader(conn, int64(size))
	}
	_, err := io.Copy(got, from)
	if sending := <-failed; sending != nil || err != nil || !bytes.Equal(sent.Sum(nil), got.Sum(nil)) {
		t.Errorf("what came back is not what was sent: %v, %v", sending, err)
	}
}

// checkRefused asks for a server, in vain.
func checkRefused(t *testing.T, proxy, target string) {
	t.Helper()
	want := unhex(t, "0500 05030001000000000000")
	got := converse(t, proxy, "050100 | 05010001"+hexIP(target)+hexPort(target), want)
	if !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}
