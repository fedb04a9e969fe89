package interop

import (
	"fmt"
	"io"
	"net"
	"os/exec"
	"testing"
)

// TestTunnelWeights has a tunnel served by both gateways: all visitors get to the one that is exclusive, until it is killed.
func TestTunnelWeights(t *testing.T) {
	t.Parallel()
	for _, server := range bothGateways {
		for exclusive, name := range []string{"gost", "drawspan"} {
			t.Run(server.name+" with "+name+" first", func(t *testing.T) {
				t.Parallel()
				drawspanBinary(t)
				addr := serveSocks(t, server.binary(t), "services:\n- {name: s, addr: $P0, handler: {type: tunnel, metadata: {tunnel.direct: true}}, listener: {type: tcp}}\n", 1)[0]
				var clients []*exec.Cmd
				for i, client := range bothGateways {
					weight := 1
					if i == exclusive {
						weight = 255
					}
					clients = append(clients, startKillable(t, nil, client.binary(t), "-C", configFile(t, `
services:
- {name: s, addr: ":0", handler: {type: rtcp}, listener: {type: rtcp, chain: c}, forwarder: {nodes: [{name: n, addr: %q}]}}
chains:
- {name: c, hops: [{name: h, nodes: [{name: n, addr: %q, connector: {type: tunnel, metadata: {tunnel.id: %s, tunnel.weight: %d}}, dialer: {type: tcp}}]}]}
`, says(t, client.name), addr, tunnel, weight)))
				}
				// Who gets a visitor, if anybody does.
				visit := func() string {
					conn := dial(t, addr)
					defer conn.Close()
					conn.Write(unhex(t, tunnelRequest("01", tunnel, "any.test", "")))
					answer := make([]byte, 5)
					if _, err := io.ReadFull(conn, answer); err != nil {
						return ""
					}
					return string(answer[4:])
				}
				eventually(t, "the exclusive one", nil, func() bool { return visit() == name[:1] })
				for range 50 {
					if got := visit(); got != name[:1] {
						t.Fatalf("a visitor gets to %q", got)
					}
				}
				kill(clients[exclusive])
				eventually(t, "the other one", nil, func() bool { return visit() == bothGateways[1-exclusive].name[:1] })
			})
		}
	}
}

// says is who says the first letter of a name to all who come.
func says(t *testing.T, name string) string {
	return serveEach(t, "tcp4", "127.0.0.1:0", func(conn net.Conn) { fmt.Fprint(conn, name[:1]) })
}
