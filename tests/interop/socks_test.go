package interop

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// socksServices are proxies of every kind; $P0 to $P5 are their addresses.
const socksServices = `
services:
- {name: open4, addr: $P0, bypass: bypass-0, handler: {type: socks4}, listener: {type: tcp}}
- {name: closed4, addr: $P1, handler: {type: socks4, auther: auther-0}, listener: {type: tcp}}
- {name: open5, addr: $P2, bypass: bypass-0, handler: {type: socks5, metadata: {udp: true, udp.bufferSize: 65535, bind: true}}, listener: {type: tcp}}
- {name: closed5, addr: $P3, handler: {type: socks5, auther: auther-0, metadata: {notls: true}}, listener: {type: tcp}}
- {name: tls5, addr: $P4, handler: {type: socks5, auther: auther-0, metadata: {udp: true, udp.bufferSize: 65535}}, listener: {type: tcp}}
- {name: auto, addr: $P5, bypass: bypass-0, handler: {type: auto}, listener: {type: tcp}}
authers:
- {name: auther-0, auths: [{username: gost, password: secret}, {username: plain}]}
bypasses:
- {name: bypass-0, matchers: [127.0.0.9, blocked.example]}
`

// socksTalks are conversations: what is sent, in hex, and all that comes back until the proxy closes the connection, or
// until there has been nothing more for a while. $O is an address and a port where somebody listens, $N where nobody does.
var socksTalks = []struct {
	name, service, send, want string
}{
	{"socks4", "P0", "0401 $O 00", "005a000000000000"},
	{"socks4 with a user id", "P0", "0401 $O 6d6500", "005a000000000000"},
	{"socks4a", "P0", "0401 $OP 00000001 00 6c6f63616c686f737400", "005a000000000000"},
	{"socks4 nobody", "P0", "0401 $N 00", "005b000000000000"},
	{"socks4 bypass", "P0", "0401 0050 7f000009 00", "005c000000000000"},
	{"socks4 bind", "P0", "0402 $O 00", ""},
	{"socks4 unknown command", "P0", "0409 $O 00", ""},
	{"socks4 other version", "P0", "050100000000000000", ""},
	{"socks4 user", "P1", "0401 $O 706c61696e00", "005a000000000000"},
	{"socks4 user with a password", "P1", "0401 $O 676f737400", "005d000000000000"},
	{"socks4 no user", "P1", "0401 $O 00", "005d000000000000"},
	{"socks5", "P2", "050100 | 05010001 $A", "0500 05000001000000000000"},
	{"socks5 by name", "P2", "050100 | 050100 03 09 6c6f63616c686f7374 $OP", "0500 05000001000000000000"},
	{"socks5 nobody", "P2", "050100 | 05010001 $B", "0500 05030001000000000000"},
	{"socks5 bypass", "P2", "050100 | 05010001 7f000009 0050", "0500 05020001000000000000"},
	{"socks5 bypass by name", "P2", "050100 | 050100 03 0f 626c6f636b65642e6578616d706c65 0050", "0500 05020001000000000000"},
	{"socks5 unknown command", "P2", "050100 | 05090001 $A", "0500 05070001000000000000"},
	{"socks5 unknown address type", "P2", "050100 | 05010002 0000", "0500"},
	{"socks5 bind on a foreign address", "P2", "050100 | 05020001 c0000201 0000", "0500 05010001000000000000"},
	{"socks5 no methods", "P2", "0500", ""},
	{"socks5 password offered", "P2", "05020002 | 05010001 $A", "0500 05000001000000000000"},
	{"socks5 tls offered", "P2", "05020080", "0580"},
	{"socks5 udp disabled", "P3", "050102 | 0104676f737406736563726574 | 05030001 000000000000", "0502 0100 05020001000000000000"},
	{"socks5 udp tunnel disabled", "P3", "050102 | 0104676f737406736563726574 | 05f30001 000000000000", "0502 0100 05020001000000000000"},
	{"socks5 bind disabled", "P3", "050102 | 0104676f737406736563726574 | 05020001 000000000000", "0502 0100 05020001000000000000"},
	{"socks5 mux bind disabled", "P3", "050102 | 0104676f737406736563726574 | 05f20001 000000000000", "0502 0100 05020001000000000000"},
	{"socks5 password", "P3", "050102 | 0104676f737406736563726574 | 05010001 $A", "0502 0100 05000001000000000000"},
	{"socks5 wrong password", "P3", "050102 | 0104676f73740577726f6e67", "0502 0101"},
	{"socks5 no password", "P3", "050102 | 010000", "0502 0101"},
	{"socks5 password not offered", "P3", "050100", "0502"},
	{"socks5 tls not wanted", "P3", "050400028082", "0502"},
	{"socks5 tls and password", "P4", "050400028082", "0582"},
	{"socks5 tls with password only", "P4", "05020082", "0502"},
	{"auto socks4", "P5", "0401 $O 00", "005a000000000000"},
	{"auto socks5", "P5", "050100 | 05010001 $B", "0500 05030001000000000000"},
	{"auto http", "P5", "434f4e4e454354203132372e302e302e393a383020485454502f312e310d0a486f73743a20780d0a0d0a",
		hex.EncodeToString([]byte("HTTP/1.1 403 Forbidden\r\nConnection: close\r\nProxy-Agent: gost/3.0\r\n\r\n"))},
}

func TestSocksBytes(t *testing.T) {
	origin, nobody := silentServer(t), unusedAddr(t)
	for _, gateway := range bothGateways {
		t.Run(gateway.name, func(t *testing.T) {
			addrs := serveSocks(t, gateway.binary(t), socksServices, 6)
			for _, talk := range socksTalks {
				t.Run(talk.name, func(t *testing.T) {
					t.Parallel()
					send := strings.NewReplacer(
						"$OP", hexPort(origin), "$O", hexPort(origin)+hexIP(origin), "$N", hexPort(nobody)+hexIP(nobody),
						"$A", hexIP(origin)+hexPort(origin), "$B", hexIP(nobody)+hexPort(nobody),
					).Replace(talk.send)
					got := converse(t, addrs[talk.service[1]-'0'], send, unhex(t, talk.want))
					if want := unhex(t, talk.want); !bytes.Equal(sortHead(got), sortHead(want)) {
						t.Errorf("got %x, want %x", got, want)
					}
				})
			}
		})
	}
}

// socksNodes are ways from a first proxy through a second one; $0 to $5 are the second one's addresses.
var socksNodes = []struct {
	name, addr, connector string
	udp                   bool
}{
	{"socks4", "P0", "{type: socks4, metadata: {disable4a: true}}", false},
	{"socks4a", "P0", "{type: socks4}", false},
	{"socks4 user", "P1", "{type: socks4, auth: {username: plain}}", false},
	{"socks5", "P2", "{type: socks5, metadata: {notls: true}}", true},
	{"socks5 tls", "P2", "{type: socks5}", true},
	{"socks5 relay", "P2", "{type: socks5, metadata: {relay: udp, notls: true, udp.bufferSize: 65535}}", true},
	{"socks5 password", "P3", "{type: socks5, auth: {username: gost, password: secret}}", false},
	{"socks5 tls and password", "P4", "{type: socks5, auth: {username: gost, password: secret}}", true},
	{"auto", "P5", "{type: socks5}", false},
}

func TestSocksChains(t *testing.T) {
	for _, pair := range [][2]int{{0, 0}, {0, 1}, {1, 0}, {1, 1}} {
		first, second := bothGateways[pair[0]], bothGateways[pair[1]]
		t.Run(first.name+" through "+second.name, func(t *testing.T) {
			binary := first.binary(t)
			seconds := serveSocks(t, second.binary(t), socksServices, 6)
			var config strings.Builder
			config.WriteString("services:\n")
			for i := range socksNodes {
				fmt.Fprintf(&config, "- {name: s%d, addr: $P%d, handler: {type: socks5, chain: c%d, metadata: {udp: true, udp.bufferSize: 65535}}, listener: {type: tcp}}\n", i, i, i)
			}
			config.WriteString("chains:\n")
			for i, node := range socksNodes {
				fmt.Fprintf(&config, "- {name: c%d, hops: [{name: h, nodes: [{name: n, addr: %s, connector: %s, dialer: {type: tcp}}]}]}\n",
					i, seconds[node.addr[1]-'0'], node.connector)
			}
			firsts := serveSocks(t, binary, config.String(), len(socksNodes))
			for i, node := range socksNodes {
				t.Run(node.name, func(t *testing.T) {
					t.Run("tcp", func(t *testing.T) { checkStream(t, firsts[i], pair, 64<<20) })
					if node.udp {
						t.Run("udp", func(t *testing.T) { checkDatagrams(t, firsts[i], strings.Contains(node.connector, "relay")) })
					}
				})
			}
		})
	}
}

var bothGateways = []struct {
	name   string
	binary func(*testing.T) string
}{
	{"gost", func(*testing.T) string { return gostpeer }},
	{"drawspan", drawspanBinary},
}

// serveSocks starts a gateway with that config and returns the addresses that stand for $P0 and so on.
func serveSocks(t *testing.T, binary, config string, services int) []string {
	addrs := make([]string, services)
	for i := range addrs {
		addrs[i] = unusedAddr(t)
		config = strings.ReplaceAll(config, fmt.Sprintf("$P%d,", i), addrs[i]+",")
	}
	file := filepath.Join(t.TempDir(), "gost.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	startGateway(t, binary, file, addrs...)
	return addrs
}

// converse sends the parts of a conversation one after the other, the next when something came back, and returns all
// that did. A proxy that has said what is wanted and goes on to wait for more is cut off.
func converse(t *testing.T, addr, send string, want []byte) []byte {
	conn := dialSocks(t, addr)
	var got []byte
	buffer := make([]byte, 4096)
	parts := strings.Split(send, "|")
	for i, part := range parts {
		conn.Write(unhex(t, part))
		for {
			n, err := conn.Read(buffer)
			got = append(got, buffer[:n]...)
			if err != nil {
				return got
			}
			if i+1 < len(parts) || len(got) >= len(want) {
				break
			}
		}
	}
	// Half-closed, a tunnel ends, and whatever came too much is seen.
	conn.(*net.TCPConn).CloseWrite()
	rest, _ := io.ReadAll(conn)
	return append(got, rest...)
}

// checkStream sends size bytes through a SOCKS5 proxy to a server, and gets their sum. Some things go wrong as soon as GOST has
// a part in it: its connectors lose what a server says together with the proxy's answer, so the server speaks first only
// if drawspan comes first; and its SOCKS5 closes both directions when one ends.
func checkStream(t *testing.T, proxy string, pair [2]int, size int) {
	greets, halfCloses := pair[0] == 1, pair == [2]int{1, 1}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		if greets {
			conn.Write([]byte("hello "))
		}
		sum := sha256.New()
		if halfCloses {
			io.Copy(sum, conn)
		} else {
			io.CopyN(sum, conn, int64(size))
		}
		conn.Write(sum.Sum(nil))
	}()
	conn := socks5(t, proxy, 1, listener.Addr().String())
	if greets {
		greeting := make([]byte, 6)
		if _, err := io.ReadFull(conn, greeting); err != nil || string(greeting) != "hello " {
			t.Fatalf("the server's greeting is %q, %v", greeting, err)
		}
	}
	block := make([]byte, 1<<20)
	rand.New(rand.NewSource(1)).Read(block)
	sum := sha256.New()
	for range size >> 20 {
		sum.Write(block)
		if _, err := conn.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	if halfCloses {
		conn.(*net.TCPConn).CloseWrite()
	}
	if got, err := io.ReadAll(conn); err != nil || !bytes.Equal(got, sum.Sum(nil)) {
		t.Errorf("what came through is not what was sent: %x, %v", got, err)
	}
}

// checkDatagrams sends some by UDP ASSOCIATE to a server that sends them back the other way round. A tunnel has no form for
// empty ones.
func checkDatagrams(t *testing.T, proxy string, empty bool) {
	server, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		buffer := make([]byte, 65536)
		for {
			n, from, err := server.ReadFrom(buffer)
			if err != nil {
				return
			}
			server.WriteTo(reversed(buffer[:n]), from)
		}
	}()
	_, relay := associate(t, proxy)
	conn, err := net.Dial("udp4", relay)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	target := server.LocalAddr().String()
	header := append([]byte{0, 0, 0, 1}, unhex(t, hexIP(target)+hexPort(target))...)
	sizes := []int{1, 100, 1400, 3000, 65507 - len(header)}
	if empty {
		sizes = append(sizes, 0)
	}
	for _, size := range sizes {
		data := make([]byte, size)
		rand.New(rand.NewSource(int64(size))).Read(data)
		answer := make([]byte, 65536)
		// Datagrams may be lost, even here.
		for attempt := 0; ; attempt++ {
			conn.Write(append(bytes.Clone(header), data...))
			conn.SetReadDeadline(time.Now().Add(2 * time.Second))
			n, err := conn.Read(answer)
			if err == nil {
				answer = answer[:n]
				break
			}
			if attempt == 4 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("%d bytes: %v", size, err)
			}
		}
		if want := append(bytes.Clone(header), reversed(data)...); !bytes.Equal(answer, want) {
			t.Errorf("%d bytes: %d came back: %.40x, want %.40x", size, len(answer), answer, want)
		}
	}
}

// TestSocksBind has connections accepted for a client.
func TestSocksBind(t *testing.T) {
	for _, gateway := range bothGateways {
		t.Run(gateway.name, func(t *testing.T) {
			addrs := serveSocks(t, gateway.binary(t), socksServices, 6)
			conn, bound := socksRequest(t, addrs[2], 2, "0.0.0.0:0")
			peer, err := net.Dial("tcp4", bound)
			if err != nil {
				t.Fatal(err)
			}
			defer peer.Close()
			if got := readReply(t, conn); got != peer.LocalAddr().String() {
				t.Errorf("the peer is said to be %s, not %s", got, peer.LocalAddr())
			}
			for _, ends := range [][2]net.Conn{{peer, conn}, {conn, peer}} {
				ends[0].Write([]byte("hello"))
				got := make([]byte, 5)
				ends[1].SetReadDeadline(time.Now().Add(deadline))
				if _, err := io.ReadFull(ends[1], got); err != nil || string(got) != "hello" {
					t.Errorf("got %q, %v", got, err)
				}
			}
		})
	}
}

func reversed(data []byte) []byte {
	out := make([]byte, len(data))
	for i, b := range data {
		out[len(data)-1-i] = b
	}
	return out
}

func dialSocks(t *testing.T, addr string) net.Conn {
	conn, err := net.Dial("tcp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(3 * deadline))
	return conn
}

// socks5 asks an open proxy for something, which must be granted.
func socks5(t *testing.T, proxy string, command byte, target string) net.Conn {
	conn, _ := socksRequest(t, proxy, command, target)
	return conn
}

func associate(t *testing.T, proxy string) (net.Conn, string) {
	return socksRequest(t, proxy, 3, "0.0.0.0:0")
}

func socksRequest(t *testing.T, proxy string, command byte, target string) (net.Conn, string) {
	t.Helper()
	conn := dialSocks(t, proxy)
	conn.Write([]byte{5, 1, 0})
	method := make([]byte, 2)
	if _, err := io.ReadFull(conn, method); err != nil || !bytes.Equal(method, []byte{5, 0}) {
		t.Fatalf("the method is %x, %v", method, err)
	}
	conn.Write(append([]byte{5, command, 0, 1}, unhex(t, hexIP(target)+hexPort(target))...))
	return conn, readReply(t, conn)
}

func readReply(t *testing.T, conn net.Conn) string {
	t.Helper()
	reply := make([]byte, 10)
	if _, err := io.ReadFull(conn, reply); err != nil || !bytes.Equal(reply[:4], []byte{5, 0, 0, 1}) {
		t.Fatalf("the reply is %x, %v", reply, err)
	}
	return fmt.Sprintf("%s:%d", net.IP(reply[4:8]), binary.BigEndian.Uint16(reply[8:]))
}

// silentServer accepts connections and reads them to their end.
func silentServer(t *testing.T) string {
	return serveEach(t, "tcp4", "127.0.0.1:0", func(conn net.Conn) { io.Copy(io.Discard, conn) })
}

// sortHead makes heads of HTTP comparable; other bytes stay as they are.
func sortHead(b []byte) []byte {
	if !bytes.HasPrefix(b, []byte("HTTP/")) {
		return b
	}
	return []byte(sortLines(string(b)))
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func hexIP(addr string) string {
	host, _, _ := net.SplitHostPort(addr)
	return hex.EncodeToString(net.ParseIP(host).To4())
}

func hexPort(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	n, _ := net.LookupPort("tcp", port)
	return fmt.Sprintf("%04x", n)
}
