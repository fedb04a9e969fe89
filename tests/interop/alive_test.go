package interop

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// silence is three times as long as what carries connections may be silent by default, and ten times as long as it is.
const silence = 100 * time.Second

// silentWays lead through a second gateway: its service, and the connector and the dialer of a node there, of proxies or (remote) of
// whoever has connections accepted.
var silentWays = []struct {
	service, node string
	remote        bool
}{
	{"handler: {type: relay}, listener: {type: mtcp}", "connector: {type: relay}, dialer: {type: mtcp}", false},
	{"handler: {type: relay}, listener: {type: mtls}", "connector: {type: relay}, dialer: {type: mtls}", false},
	{"handler: {type: relay}, listener: {type: mws}", "connector: {type: relay}, dialer: {type: mws}", false},
	{"handler: {type: relay}, listener: {type: mwss}", "connector: {type: relay}, dialer: {type: mwss}", false},
	{"handler: {type: socks5}, listener: {type: wss}", "connector: {type: socks5}, dialer: {type: wss}", false},
	{"handler: {type: relay, metadata: {bind: true}}, listener: {type: tls}", "connector: {type: relay}, dialer: {type: tls}", true},
	{"handler: {type: socks5, metadata: {bind: true}}, listener: {type: tcp}", "connector: {type: socks5}, dialer: {type: tcp}", true},
	{"handler: {type: tunnel, metadata: {tunnel.direct: true}}, listener: {type: tcp}",
		"connector: {type: tunnel, metadata: {tunnel.id: " + tunnel + "}}, dialer: {type: tcp}", true},
}

// TestSilence leaves connections alone for minutes, with the default settings of everything. By the name of its file it comes before
// all others, and it goes on when those are over that aren't parallel: so it takes no time of its own.
func TestSilence(t *testing.T) {
	echoes := echoServer(t, "tcp4", "127.0.0.1:0")
	type way struct {
		name string
		conn net.Conn
	}
	var ways []way
	drawspanBinary(t)
	for _, pair := range [][2]int{{0, 1}, {1, 0}, {1, 1}} {
		first, second := bothGateways[pair[0]], bothGateways[pair[1]]
		services := "services:\n"
		for i, way := range silentWays {
			services += fmt.Sprintf("- {name: s%d, addr: $P%d, %s}\n", i, i, way.service)
		}
		seconds := serveSocks(t, second.binary(t), services, len(silentWays))
		services, chains := "services:\n- {name: last, addr: $P0, handler: {type: http}, listener: {type: tcp}}\n", "chains:\n"
		addrs := make([]string, len(silentWays))
		for i, way := range silentWays {
			addrs[i] = unusedAddr(t)
			chains += fmt.Sprintf("- {name: c%d, hops: [{name: h, nodes: [{name: n, addr: '%s', %s}]}]}\n", i, seconds[i], way.node)
			if way.remote {
				services += fmt.Sprintf("- {name: s%d, addr: '%s', handler: {type: rtcp}, listener: {type: rtcp, chain: c%d}, forwarder: {nodes: [{name: n, addr: '%s'}]}}\n", i, addrs[i], i, echoes)
			} else {
				services += fmt.Sprintf("- {name: s%d, addr: '%s', handler: {type: socks5, chain: c%d}, listener: {type: tcp}}\n", i, addrs[i], i)
			}
		}
		serveSocks(t, first.binary(t), services+chains, 1)
		for i, silent := range silentWays {
			var conn net.Conn
			switch {
			case strings.Contains(silent.node, "tunnel"):
				eventually(t, "the tunnel", nil, func() bool {
					conn = dial(t, seconds[i])
					conn.Write(unhex(t, tunnelRequest("01", tunnel, "any.test", "")))
					return readBytes(t, conn, 4)[1] == 0
				})
			case silent.remote:
				awaitEcho(t, addrs[i])
				conn = dial(t, addrs[i])
			default:
				conn = socks5(t, addrs[i], 1, echoes)
			}
			checkEcho(t, conn, "before")
			ways = append(ways, way{fmt.Sprintf("%s through %s: %s", first.name, second.name, silent.node), conn})
		}
	}
	began := time.Now()
	t.Parallel()
	time.Sleep(time.Until(began.Add(silence)))
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) { checkEcho(t, way.conn, "behind") })
	}
}
