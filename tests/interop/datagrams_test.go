package interop

import (
	"bytes"
	"fmt"
	"math/rand"
	"net"
	"regexp"
	"slices"
	"testing"
	"time"
)

// datagramSizes are up to the longest that UDP has, with a header of SOCKS5 and without. An empty one is the last: between two
// GOSTs nothing that is accepted for another comes through behind it.
var datagramSizes = []int{1, 512, 1400, 9000, 30000, 65497, 65507, 0}

// datagramServices are what datagrams go through; GOST cuts them to its buffers.
const datagramServices = `
services:
- {name: relay, addr: $P0, handler: {type: relay, metadata: {bind: true, udp.bufferSize: 65535}}, listener: {type: tcp}}
- {name: mux, addr: $P1, handler: {type: relay, metadata: {bind: true, udp.bufferSize: 65535}}, listener: {type: mtcp}}
- {name: socks, addr: $P2, handler: {type: socks5, metadata: {bind: true, udp: true, udp.bufferSize: 65535}}, listener: {type: tcp}}
- {name: tunnel, addr: $P3, handler: {type: tunnel, metadata: {tunnel: "udp.test:` + tunnelUDP + `"}}, listener: {type: tcp}}
`

// datagramWays lead from a first gateway through the second's: for its clients, or (remote) from there to it.
var datagramWays = []struct {
	name, addr, node string
	remote           bool
}{
	{"relay", "P0", "connector: {type: relay}, dialer: {type: tcp}", false},
	{"mux", "P1", "connector: {type: relay}, dialer: {type: mtcp}", false},
	{"socks5 tunnel", "P2", "connector: {type: socks5, metadata: {udp.bufferSize: 65535}}, dialer: {type: tcp}", false},
	{"socks5 relay", "P2", "connector: {type: socks5, metadata: {relay: udp, notls: true, udp.bufferSize: 65535}}, dialer: {type: tcp}", false},
	{"tunnel", "P3", "connector: {type: tunnel, metadata: {tunnel.id: " + tunnelUDP + "}}, dialer: {type: tcp}", false},
	{"remote by relay", "P0", "connector: {type: relay}, dialer: {type: tcp}", true},
	{"remote by mux", "P1", "connector: {type: relay}, dialer: {type: mtcp}", true},
	{"remote by socks5", "P2", "connector: {type: socks5, metadata: {udp.bufferSize: 65535}}, dialer: {type: tcp}", true},
}

type lostDatagrams struct {
	which *regexp.Regexp // the gateways and the way
	sizes []int
	why   string
}

// datagramsLost are those that don't come back. All others do.
var datagramsLost = []lostDatagrams{
	{regexp.MustCompile(`/gost_through_`), []int{0, 65497, 65507}, "GOST forwards at most 32 KiB of a datagram, and no empty ones"},
	{regexp.MustCompile(`_through_gost/(relay|mux)$`), []int{0, 65497, 65507}, "nor does its relay"},
	{regexp.MustCompile(`/(socks5_tunnel|remote_by_.*)$`), []int{0}, "the frames have no form for empty ones"},
	{regexp.MustCompile(`/socks5_relay$`), []int{65507}, "a header comes before it"},
}

// TestDatagramSizes sends datagrams of all sizes through all pairs of gateways; they come back the other way round.
func TestDatagramSizes(t *testing.T) {
	t.Parallel()
	mirror := udpMirror(t)
	for _, pair := range [][2]int{{0, 0}, {0, 1}, {1, 0}, {1, 1}} {
		first, second := bothGateways[pair[0]], bothGateways[pair[1]]
		t.Run(first.name+" through "+second.name, func(t *testing.T) {
			t.Parallel()
			binary := first.binary(t)
			seconds := serveSocks(t, second.binary(t), datagramServices, 4)
			const local = "type: udp, metadata: {keepalive: true, readBufferSize: 65535}"
			const remote = ", type: rudp, metadata: {readBufferSize: 65535}"
			services, chains := "services:\n", "chains:\n"
			var addrs []string
			serve := func(addr, handler, listener, target string) {
				services += fmt.Sprintf("- {name: '%s', addr: '%s', handler: {%s}, listener: {%s}, forwarder: {nodes: [{name: n, addr: '%s'}]}}\n",
					addr, addr, handler, listener, target)
			}
			for i, way := range datagramWays {
				addr, chain := unusedAddr(t), fmt.Sprintf("chain: c%d", i)
				addrs = append(addrs, addr)
				chains += fmt.Sprintf("- {name: c%d, hops: [{name: h, nodes: [{name: n, addr: '%s', %s}]}]}\n", i, seconds[way.addr[1]-'0'], way.node)
				switch {
				case way.remote:
					serve(addr, "type: rudp", chain+remote, mirror)
				case way.name == "tunnel":
					// Who serves the tunnel, and who visits it.
					serve("udp.test:0", "type: rudp", chain+remote, mirror)
					serve(addr, "type: udp, "+chain, local, "udp.test:53")
				default:
					serve(addr, "type: udp, "+chain, local, mirror)
				}
			}
			serveSocks(t, binary, services+"- {name: last, addr: $P0, handler: {type: http}, listener: {type: tcp}}\n"+chains, 1)
			for i, way := range datagramWays {
				t.Run(way.name, func(t *testing.T) {
					conn := dialUDP(t, addrs[i])
					// What is bound at the other gateway is there soon.
					eventually(t, "datagrams to come back", nil, func() bool { return comesBack(t, conn, 2) })
					for _, size := range datagramSizes {
						isLost := slices.ContainsFunc(datagramsLost, func(lost lostDatagrams) bool {
							return lost.which.MatchString(t.Name()) && slices.Contains(lost.sizes, size)
						})
						comes := comesBack(t, conn, size)
						// They may be lost, even here.
						for attempts := 0; !comes && !isLost && attempts < 5; attempts++ {
							comes = comesBack(t, conn, size)
						}
						if comes == isLost {
							t.Errorf("%d bytes come back: %v", size, comes)
						}
					}
				})
			}
		})
	}
}

// comesBack says whether a datagram does, whole and in time.
func comesBack(t *testing.T, conn net.Conn, size int) bool {
	t.Helper()
	data := make([]byte, size)
	rand.New(rand.NewSource(int64(size))).Read(data)
	conn.Write(data)
	conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
	answer := make([]byte, 65536)
	for {
		read, err := conn.Read(answer)
		if err != nil {
			return false
		}
		// What comes late isn't it.
		if read == size {
			return bytes.Equal(answer[:read], reversed(data))
		}
	}
}
