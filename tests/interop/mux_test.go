package interop

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// muxCarriers are transports whose connections carry many; both ends have the same metadata.
var muxCarriers = []struct{ name, kind, metadata string }{
	{"mtls", "mtls", ""},
	{"mws", "mws", ""},
	{"mwss", "mwss", ""},
	{"mtcp", "mtcp", ""},
	{"mws version 2", "mws", "mux.version: 2"},
	{"mwss version 2", "mwss", "mux.version: 2"},
	{"mtls version 2", "mtls", "mux.version: 2"},
	{"mtcp version 1", "mtcp", "mux.version: 1"},
	{"small frames and buffers", "mtcp", "mux.maxFrameSize: 1000, mux.maxReceiveBuffer: 100000, mux.maxStreamBuffer: 5000"},
	{"restless", "mtcp", "mux.keepaliveInterval: 100ms, mux.keepaliveTimeout: 300ms"},
}

// serveMuxes starts relays behind all of them. Of many connections GOST closes those that wait beyond its backlog.
func serveMuxes(t *testing.T, binary string) []string {
	var config strings.Builder
	config.WriteString("services:\n")
	for i, carrier := range muxCarriers {
		fmt.Fprintf(&config, "- {name: s%d, addr: $P%d, handler: {type: relay}, listener: {type: %s, metadata: {backlog: 1000, %s}}}\n", i, i, carrier.kind, carrier.metadata)
	}
	return serveSocks(t, binary, config.String(), len(muxCarriers))
}

// throughMuxes starts SOCKS5 proxies that go through nodes, one for each carrier.
func throughMuxes(t *testing.T, binary string, nodes []string) []string {
	var config strings.Builder
	config.WriteString("services:\n")
	for i := range muxCarriers {
		fmt.Fprintf(&config, "- {name: s%d, addr: $P%d, handler: {type: socks5, chain: c%d}, listener: {type: tcp}}\n", i, i, i)
	}
	config.WriteString("chains:\n")
	for i, carrier := range muxCarriers {
		fmt.Fprintf(&config, "- {name: c%d, hops: [{name: h, nodes: [{name: n, addr: %s, connector: {type: relay}, dialer: {type: %s, metadata: {%s}}}]}]}\n",
			i, nodes[i], carrier.kind, carrier.metadata)
	}
	return serveSocks(t, binary, config.String(), len(muxCarriers))
}

// TestMuxChains sends much, and many connections at a time, through all pairs of gateways.
func TestMuxChains(t *testing.T) {
	for _, pair := range [][2]int{{0, 0}, {0, 1}, {1, 0}, {1, 1}} {
		first, second := bothGateways[pair[0]], bothGateways[pair[1]]
		t.Run(first.name+" through "+second.name, func(t *testing.T) {
			binary := first.binary(t)
			var wires []*wire
			var nodes []string
			for _, addr := range serveMuxes(t, second.binary(t)) {
				w := startWire(t, addr)
				wires, nodes = append(wires, w), append(nodes, w.addr)
			}
			proxies := throughMuxes(t, binary, nodes)
			for i, carrier := range muxCarriers {
				t.Run(carrier.name, func(t *testing.T) {
					size := 64 << 20
					switch {
					case pair == [2]int{0, 0}:
						size = 4 << 20 // which only shows that the table is right
					case strings.HasPrefix(carrier.name, "small"):
						size = 8 << 20 // more frames than others make of 64
					}
					// A stream has no half-closed state: its end is that of both directions.
					checkStream(t, proxies[i], [2]int{pair[0], 0}, size)
					checkMany(t, proxies[i], 300)
					if made := wires[i].made(); made != 1 {
						t.Errorf("%d connections were made; one carries all", made)
					}
				})
			}
		})
	}
}

// TestMuxFaults breaks what carries connections: it is seen, and another is made.
func TestMuxFaults(t *testing.T) {
	for _, pair := range [][2]int{{0, 1}, {1, 0}, {1, 1}} {
		first, second := bothGateways[pair[0]], bothGateways[pair[1]]
		t.Run(first.name+" through "+second.name, func(t *testing.T) {
			binary := first.binary(t)
			var wires []*wire
			var nodes []string
			for _, addr := range serveMuxes(t, second.binary(t)) {
				w := startWire(t, addr)
				wires, nodes = append(wires, w), append(nodes, w.addr)
			}
			proxies := throughMuxes(t, binary, nodes)
			echoes := echoServer(t, "tcp4", "127.0.0.1:0")
			// GOST tries a connection that is lost once more.
			again := func(t *testing.T, proxy string) net.Conn {
				if pair[0] == 0 {
					eventually(t, "another connection", nil, func() bool { return isGranted(t, proxy, echoes) })
				}
				return socks5(t, proxy, 1, echoes)
			}
			for i, carrier := range muxCarriers {
				t.Run(carrier.name, func(t *testing.T) {
					conn := socks5(t, proxies[i], 1, echoes)
					checkEcho(t, conn, "before")
					wires[i].reset()
					if n, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("the connection outlives what carries it: %d bytes, %v", n, err)
					}
					checkEcho(t, again(t, proxies[i]), "behind a reset")
					if carrier.name != "restless" {
						return
					}
					// Silence on both sides of a connection, far longer than a peer may be silent that lives.
					idle := socks5(t, proxies[i], 1, echoes)
					checkEcho(t, idle, "before the silence")
					time.Sleep(time.Second)
					checkEcho(t, idle, "behind the silence")
					// A peer that is there and does nothing counts as dead.
					wires[i].freeze()
					if n, err := idle.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("a dead peer is waited for: %d bytes, %v", n, err)
					}
					checkEcho(t, again(t, proxies[i]), "behind a dead peer")
				})
			}
		})
	}
}

// isGranted says whether a SOCKS5 proxy connects to target now.
func isGranted(t *testing.T, proxy, target string) bool {
	conn := dialSocks(t, proxy)
	defer conn.Close()
	conn.Write(append([]byte{5, 1, 0, 5, 1, 0, 1}, unhex(t, hexIP(target)+hexPort(target))...))
	answer := make([]byte, 12)
	_, err := io.ReadFull(conn, answer)
	return err == nil && answer[3] == 0
}

// remoteServices accept connections for others; $P0 to $P5 are their addresses.
const remoteServices = `
services:
- {name: relay, addr: $P0, handler: {type: relay, metadata: {bind: true, udp.bufferSize: 65535}}, listener: {type: tcp}}
- {name: relay-tls, addr: $P1, handler: {type: relay, auth: {username: gost, password: secret}, metadata: {bind: true, udp.bufferSize: 65535}}, listener: {type: tls}}
- {name: relay-mws, addr: $P2, handler: {type: relay, metadata: {bind: true, udp.bufferSize: 65535, mux.version: 2}}, listener: {type: mws}}
- {name: socks, addr: $P3, handler: {type: socks5, metadata: {bind: true, udp: true, udp.bufferSize: 65535}}, listener: {type: tcp}}
- {name: socks-user, addr: $P4, handler: {type: socks5, auth: {username: gost, password: secret}, metadata: {bind: true, udp: true, udp.bufferSize: 65535}}, listener: {type: ws}}
- {name: relay-wss, addr: $P5, handler: {type: relay, metadata: {bind: true, udp.bufferSize: 65535}}, listener: {type: wss}}
`

// remoteNodes are ways to them.
var remoteNodes = []struct{ name, node string }{
	{"relay", "connector: {type: relay}, dialer: {type: tcp}"},
	{"relay over tls", "connector: {type: relay, auth: {username: gost, password: secret}}, dialer: {type: tls}"},
	{"relay version 2 over mws", "connector: {type: relay, metadata: {mux.version: 2}}, dialer: {type: mws}"},
	{"socks5", "connector: {type: socks5}, dialer: {type: tcp}"},
	{"socks5 by tls with a user over ws", "connector: {type: socks5, auth: {username: gost, password: secret}}, dialer: {type: ws}"},
	{"relay over wss", "connector: {type: relay}, dialer: {type: wss}"},
}

// TestRemote has connections and datagrams accepted by another gateway.
func TestRemote(t *testing.T) {
	t.Parallel()
	mirror, echoes, hello := udpMirror(t), echoServer(t, "tcp4", "127.0.0.1:0"), greeter(t)
	for _, pair := range [][2]int{{0, 0}, {0, 1}, {1, 0}, {1, 1}} {
		first, second := bothGateways[pair[0]], bothGateways[pair[1]]
		t.Run(first.name+" through "+second.name, func(t *testing.T) {
			t.Parallel()
			binary := first.binary(t)
			var wires []*wire
			for _, addr := range serveSocks(t, second.binary(t), remoteServices, len(remoteNodes)) {
				wires = append(wires, startWire(t, addr))
			}
			var config strings.Builder
			config.WriteString("services:\n")
			var tcp, udp, greeting []string
			for i := range remoteNodes {
				tcp, udp, greeting = append(tcp, unusedAddr(t)), append(udp, unusedAddr(t)), append(greeting, unusedAddr(t))
				for name, addrs := range map[string][2]string{"t": {tcp[i], echoes}, "g": {greeting[i], hello}} {
					fmt.Fprintf(&config, "- {name: %s%d, addr: %q, handler: {type: rtcp}, listener: {type: rtcp, chain: c%d}, forwarder: {nodes: [{name: n, addr: %s}]}}\n", name, i, addrs[0], i, addrs[1])
				}
				fmt.Fprintf(&config, "- {name: u%d, addr: %q, handler: {type: rudp}, listener: {type: rudp, chain: c%d, metadata: {readBufferSize: 65535}}, forwarder: {nodes: [{name: n, addr: %s}]}}\n", i, udp[i], i, mirror)
			}
			config.WriteString("- {name: last, addr: $P0, handler: {type: http}, listener: {type: tcp}}\nchains:\n")
			for i, node := range remoteNodes {
				fmt.Fprintf(&config, "- {name: c%d, hops: [{name: h, nodes: [{name: n, addr: %s, %s}]}]}\n", i, wires[i].addr, node.node)
			}
			serveSocks(t, binary, config.String(), 1)
			for i, node := range remoteNodes {
				t.Run(node.name, func(t *testing.T) {
					awaitEcho(t, tcp[i])
					checkManyAt(t, 200, func() net.Conn { return dial(t, tcp[i]) })
					checkMirror(t, udp[i], []int{1, 1400, 30000})
					eventually(t, "who speaks first", nil, func() bool {
						conn, err := greeted(greeting[i])
						if err != nil {
							return false
						}
						defer conn.Close()
						return sent(conn, make([]byte, 1<<20)) == nil
					})
					wires[i].reset()
					awaitEcho(t, tcp[i])
				})
			}
		})
	}
}

// TestMuxBindBytes compares what a client sees for whom connections are accepted.
func TestMuxBindBytes(t *testing.T) {
	for _, gateway := range bothGateways {
		t.Run(gateway.name, func(t *testing.T) {
			addrs := serveSocks(t, gateway.binary(t), remoteServices, len(remoteNodes))
			for _, ask := range []struct{ name, addr, send, answer, peer string }{
				{"relay", addrs[0], "0102000a 020007017f0000010000", "0100000a 020007017f000001", "0100000a 020007017f000001"},
				{"socks5", addrs[3], "050100 05f200017f0000010000", "0500 050000017f000001", "050000017f000001"},
			} {
				t.Run(ask.name, func(t *testing.T) {
					conn := dial(t, ask.addr)
					conn.Write(unhex(t, ask.send))
					want := unhex(t, ask.answer)
					answer := readBytes(t, conn, len(want)+2)
					if !bytes.Equal(answer[:len(want)], want) {
						t.Fatalf("answered %x, want %x and a port", answer, want)
					}
					port := int(answer[len(want)])<<8 | int(answer[len(want)+1])
					peer := dial(t, fmt.Sprintf("127.0.0.1:%d", port))
					peer.Write([]byte("hello"))
					greeting := append(unhex(t, ask.peer), unhex(t, hexPort(peer.LocalAddr().String()))...)
					// A stream is opened; its first frame says who came, the second what the peer says.
					want = append([]byte{1, 0, 0, 0, 3, 0, 0, 0, 1, 2, byte(len(greeting)), 0, 3, 0, 0, 0}, greeting...)
					want = append(want, 1, 2, 5, 0, 3, 0, 0, 0, 'h', 'e', 'l', 'l', 'o')
					if got := readBytes(t, conn, len(want)); !bytes.Equal(got, want) {
						t.Errorf("got %x, want %x", got, want)
					}
					conn.Write([]byte{1, 2, 2, 0, 3, 0, 0, 0, 'h', 'i', 1, 1, 0, 0, 3, 0, 0, 0})
					if got, err := io.ReadAll(peer); err != nil || string(got) != "hi" {
						t.Errorf("the peer got %q, %v", got, err)
					}
					peer.Close()
					if got := readBytes(t, conn, 8); !bytes.Equal(got, []byte{1, 1, 0, 0, 3, 0, 0, 0}) {
						t.Errorf("got %x, want the stream's end", got)
					}
				})
			}
			for _, refused := range []struct{ addr, send, want string }{
				{addrs[0], "0102000a 02000701c00002010000", "01050000"},
				{addrs[3], "050100 05f20001c00002010000", "0500 05010001000000000000"},
			} {
				want := unhex(t, refused.want)
				if got := converse(t, refused.addr, refused.send, want); !bytes.Equal(got, want) {
					t.Errorf("got %x, want %x", got, want)
				}
			}
		})
	}
}

// checkMany uses many connections through a SOCKS5 proxy at a time.
func checkMany(t *testing.T, proxy string, connections int) {
	echoes := echoServer(t, "tcp4", "127.0.0.1:0")
	checkManyAt(t, connections, func() net.Conn { return socks5(t, proxy, 1, echoes) })
}

// checkManyAt sends some through each of many connections at a time, all of which must come back.
func checkManyAt(t *testing.T, connections int, connect func() net.Conn) {
	var conns []net.Conn
	for range connections {
		conns = append(conns, connect())
	}
	var all sync.WaitGroup
	for i, conn := range conns {
		all.Add(1)
		go func() {
			defer all.Done()
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(2 * deadline))
			data := make([]byte, 1+i*i%100_000)
			rand.New(rand.NewSource(int64(i))).Read(data)
			go conn.Write(data)
			got := make([]byte, len(data))
			if _, err := io.ReadFull(conn, got); err != nil || sha256.Sum256(got) != sha256.Sum256(data) {
				t.Errorf("connection %d: what came back is not what was sent: %v", i, err)
			}
		}()
	}
	all.Wait()
}

func checkEcho(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	conn.SetDeadline(time.Now().Add(deadline))
	conn.Write([]byte(text))
	if got := readBytes(t, conn, len(text)); string(got) != text {
		t.Fatalf("got %q, want %q", got, text)
	}
}

// awaitEcho waits until somebody at addr echoes.
func awaitEcho(t *testing.T, addr string) {
	t.Helper()
	eventually(t, "somebody who accepts for another", nil, func() bool {
		conn, err := net.Dial("tcp4", addr)
		if err != nil {
			return false
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(time.Second))
		conn.Write([]byte("hello"))
		got := make([]byte, 5)
		_, err = io.ReadFull(conn, got)
		return err == nil && string(got) == "hello"
	})
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(deadline))
	return conn
}

func readBytes(t *testing.T, conn net.Conn, length int) []byte {
	t.Helper()
	got := make([]byte, length)
	if n, err := io.ReadFull(conn, got); err != nil {
		t.Fatalf("got %x, then %v", got[:n], err)
	}
	return got
}

// wire passes on what comes to addr, and can be broken.
type wire struct {
	addr  string
	mutex sync.Mutex
	// All there were, both ends of each.
	conns []*net.TCPConn
	// Frozen are those up to there.
	frozen int
}

func startWire(t *testing.T, to string) *wire {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{addr: listener.Addr().String()}
	t.Cleanup(func() {
		listener.Close()
		w.reset()
	})
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp4", to)
			if err != nil {
				near.Close()
				continue
			}
			w.mutex.Lock()
			number := len(w.conns)
			w.conns = append(w.conns, near.(*net.TCPConn), far.(*net.TCPConn))
			w.mutex.Unlock()
			go w.pass(near, far, number)
			go w.pass(far, near, number)
		}
	}()
	return w
}

func (w *wire) pass(from, to net.Conn, number int) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		w.mutex.Lock()
		frozen := number < w.frozen
		w.mutex.Unlock()
		if frozen && err == nil {
			continue
		}
		if _, writeErr := to.Write(buffer[:n]); err != nil || writeErr != nil {
			from.Close()
			to.Close()
			return
		}
	}
}

// made is how many connections there were.
func (w *wire) made() int {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return len(w.conns) / 2
}

// reset breaks those that there are.
func (w *wire) reset() {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	for _, conn := range w.conns {
		conn.SetLinger(0)
		conn.Close()
	}
}

// freeze passes nothing more on in those that there are.
func (w *wire) freeze() {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.frozen = len(w.conns)
}
