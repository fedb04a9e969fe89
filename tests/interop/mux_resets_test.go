package interop

import (
	"bufio"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// muxSteps are where a peer may break off a connection that is to carry many, in their order.
var muxSteps = []string{"at once", "in the TLS hello", "in the upgrade", "before the mux", "behind the open"}

// breaker stands before a node and passes connections on, or breaks them off at a step.
type breaker struct {
	listener net.Listener
	node     string
	secret   *tls.Config // of carriers by TLS
	isWS     bool
	mutex    sync.Mutex
	step     string // none: they are passed on
	broken   int
	conns    []net.Conn
}

func startBreaker(t *testing.T, node, kind string, secret *tls.Config) *breaker {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &breaker{listener: listener, node: node, isWS: strings.HasPrefix(kind, "mw")}
	if strings.HasSuffix(kind, "s") && kind != "mws" {
		b.secret = secret
	}
	t.Cleanup(func() {
		listener.Close()
		b.breakAt("")
	})
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go b.serve(conn)
		}
	}()
	return b
}

// has says whether the carrier has such a step.
func (b *breaker) has(step string) bool {
	return step != "in the TLS hello" && step != "in the upgrade" || step == "in the TLS hello" && b.secret != nil || step == "in the upgrade" && b.isWS
}

// breakAt breaks what there is, and what comes from now on at that step.
func (b *breaker) breakAt(step string) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	for _, conn := range b.conns {
		reset(conn)
	}
	b.conns, b.step, b.broken = nil, step, 0
}

// count is how many were broken off at the step.
func (b *breaker) count() int {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.broken
}

func reset(conn net.Conn) {
	conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
}

func (b *breaker) serve(conn net.Conn) {
	b.mutex.Lock()
	step := b.step
	if step != "" {
		b.mutex.Unlock()
		b.handshake(conn, step)
		b.mutex.Lock()
		b.broken++
		b.mutex.Unlock()
		reset(conn)
		return
	}
	far, err := net.Dial("tcp4", b.node)
	if err != nil {
		b.mutex.Unlock()
		conn.Close()
		return
	}
	b.conns = append(b.conns, conn, far)
	b.mutex.Unlock()
	for _, ends := range [][2]net.Conn{{conn, far}, {far, conn}} {
		go func() {
			io.Copy(ends[0], ends[1])
			ends[0].Close()
		}()
	}
}

// handshake goes as far as the step.
func (b *breaker) handshake(raw net.Conn, step string) {
	raw.SetDeadline(time.Now().Add(deadline))
	if step == "at once" {
		return
	}
	conn := raw
	if b.secret != nil {
		if step == "in the TLS hello" {
			// The head of a record, and a half of what is in it.
			raw.Read(make([]byte, 65536))
			raw.Write([]byte{22, 3, 3, 0, 122, 2, 0, 0, 118, 3, 3, 1, 2, 3, 4})
			return
		}
		secret := tls.Server(raw, b.secret)
		if secret.Handshake() != nil {
			return
		}
		conn = secret
	}
	if b.isWS {
		request, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			return
		}
		key := sha1.Sum([]byte(request.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		answer := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + base64.StdEncoding.EncodeToString(key[:]) + "\r\n\r\n"
		if step == "in the upgrade" {
			answer = answer[:len(answer)/2]
		}
		io.WriteString(conn, answer)
		if step == "in the upgrade" {
			return
		}
	}
	if step == "behind the open" {
		conn.Read(make([]byte, 65536))
	}
}

// TestMuxResets breaks what is to carry connections off at each step of its making: clients are told at once, and the next one
// gets through.
func TestMuxResets(t *testing.T) {
	secret := httptest.NewTLSServer(nil)
	t.Cleanup(secret.Close)
	kinds := []string{"mtcp", "mtls", "mws", "mwss"}
	echoes := echoServer(t, "tcp4", "127.0.0.1:0")
	for _, pair := range [][2]int{{0, 1}, {1, 0}, {1, 1}} {
		first, second := bothGateways[pair[0]], bothGateways[pair[1]]
		t.Run(first.name+" through "+second.name, func(t *testing.T) {
			drawspanBinary(t)
			services, proxies, chains := "services:\n", "services:\n", "chains:\n"
			for i, kind := range kinds {
				services += fmt.Sprintf("- {name: s%d, addr: $P%d, handler: {type: relay, metadata: {nodelay: true}}, listener: {type: %s}}\n", i, i, kind)
			}
			nodes := serveSocks(t, second.binary(t), services, len(kinds))
			var breakers []*breaker
			for i, kind := range kinds {
				b := startBreaker(t, nodes[i], kind, secret.TLS)
				breakers = append(breakers, b)
				proxies += fmt.Sprintf("- {name: s%d, addr: $P%d, handler: {type: socks5, chain: c%d}, listener: {type: tcp}}\n", i, i, i)
				chains += fmt.Sprintf("- {name: c%d, hops: [{name: h, nodes: [{name: n, addr: '%s', connector: {type: relay, metadata: {nodelay: true}}, dialer: {type: %s}}]}]}\n",
					i, b.listener.Addr(), kind)
			}
			addrs := serveSocks(t, first.binary(t), proxies+chains, len(kinds))
			for i, kind := range kinds {
				for _, step := range muxSteps {
					if breakers[i].has(step) {
						t.Run(kind+" "+step, func(t *testing.T) {
							checkReset(t, breakers[i], step, addrs[i], echoes)
							// GOST tries a connection that is lost once more.
							if pair[0] == 0 {
								eventually(t, "another connection", nil, func() bool { return isGranted(t, addrs[i], echoes) })
							}
							checkEcho(t, socks5(t, addrs[i], 1, echoes), "behind a reset")
						})
					}
				}
			}
		})
	}
}

// checkReset breaks off what there is, and what is made then.
func checkReset(t *testing.T, b *breaker, step, proxy, echoes string) {
	b.breakAt(step)
	// A lost connection that isn't known to be lost may be tried before.
	for b.count() == 0 {
		conn := dialSocks(t, proxy)
		conn.SetDeadline(time.Now().Add(5 * time.Second))
		conn.Write(append([]byte{5, 1, 0, 5, 1, 0, 1}, unhex(t, hexIP(echoes)+hexPort(echoes))...))
		answer, err := io.ReadAll(conn)
		if err != nil || len(answer) != 12 || answer[3] == 0 {
			t.Fatalf("the client is told %x, %v", answer, err)
		}
	}
	b.breakAt("")
}
