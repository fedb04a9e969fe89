package interop

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// relayServices are relays of every kind; $P0 to $P8 are their addresses.
const relayServices = `
services:
- {name: open, addr: $P0, bypass: bypass-0, handler: {type: relay}, listener: {type: tcp}}
- {name: closed, addr: $P1, handler: {type: relay, auther: auther-0, metadata: {nodelay: true}}, listener: {type: tcp}}
- {name: bind, addr: $P2, handler: {type: relay, metadata: {bind: true, udp.bufferSize: 65535}}, listener: {type: tcp}}
- {name: forward, addr: $P3, handler: {type: relay}, listener: {type: tcp}, forwarder: {nodes: [{name: n, addr: $ORIGIN}]}}
- {name: nobody, addr: $P4, handler: {type: relay}, listener: {type: tcp}, forwarder: {nodes: [{name: n, addr: $NOBODY}]}}
- {name: datagrams, addr: $P5, handler: {type: relay}, listener: {type: tcp}, forwarder: {nodes: [{name: n, addr: $MIRROR}]}}
- {name: tls, addr: $P6, handler: {type: relay, auther: auther-0, metadata: {bind: true, udp.bufferSize: 65535}}, listener: {type: tls}}
- {name: ws, addr: $P7, handler: {type: relay, metadata: {bind: true, udp.bufferSize: 65535}}, listener: {type: ws}}
- {name: wss, addr: $P8, handler: {type: relay}, listener: {type: wss}}
authers:
- {name: auther-0, auths: [{username: gost, password: secret}]}
bypasses:
- {name: bypass-0, matchers: [127.0.0.9, blocked.example]}
`

// serveRelays starts them; forwarders lead to origin, to nobody and to mirror.
func serveRelays(t *testing.T, binary, origin, mirror string) []string {
	config := strings.NewReplacer("$ORIGIN", origin, "$MIRROR", mirror, "$NOBODY", unusedAddr(t)).Replace(relayServices)
	return serveSocks(t, binary, config, 9)
}

// relayTalks are conversations as socksTalks are; behind a request comes "hello", which is sent back. $A is the address of
// who does that, $B one where nobody listens, $M that of who sends datagrams back the other way round; $U and $V are paths
// of unix sockets with and without somebody behind them, with their lengths.
var relayTalks = []struct {
	name, service, send, want string
}{
	{"connect", "P0", "0101000a 02000701 $A $H", "01000000 $H"},
	{"connect by name", "P0", "01010010 02000d03 09 6c6f63616c686f7374 $AP $H", "01000000 $H"},
	{"command 0", "P0", "0100000a 02000701 $A $H", "01000000 $H"},
	{"flags that nobody knows", "P0", "0171000a 02000701 $A $H", "01000000 $H"},
	{"the last address counts", "P0", "01010014 02000701 $B 02000701 $A $H", "01000000 $H"},
	{"a tunnel's id", "P0", "01010021 030014 0102030405060708090a0b0c0d0e0f10 00000000 02000701 $A $H", "01000000 $H"},
	{"nobody", "P0", "0101000a 02000701 $B", "01070000"},
	{"bypass", "P0", "0101000a 02000701 7f000009 0050", "01030000"},
	{"bypass by name", "P0", "01010016 02001303 0f 626c6f636b65642e6578616d706c65 0050", "01030000"},
	{"no address", "P0", "01010000", "01010000"},
	{"associate", "P0", "01030000", "01010000"},
	{"unknown command", "P0", "010f0000", "01010000"},
	{"other version", "P0", "0201000a 02000701 $A", ""},
	{"unknown type of address", "P0", "01010006 020003 09 0050", ""},
	{"feature that is cut off", "P0", "01010005 020004 01 7f", ""},
	{"bind disabled", "P0", "01020000", "01030000"},
	{"bind of datagrams disabled", "P0", "01820000", "01030000"},
	{"user", "P1", "01010019 01000c 04676f7374 06736563726574 02000701 $A $H", "01000000 $H"},
	{"wrong password", "P1", "01010018 01000b 04676f7374 0577726f6e67 02000701 $A", "01020000"},
	{"no user", "P1", "0101000a 02000701 $A", "01020000"},
	{"forwarded", "P3", "01010000 $H", "01000000 $H"},
	{"forwarded whatever is asked", "P3", "010f000a 02000701 $B $H", "01000000 $H"},
	{"forwarded to nobody", "P4", "01010000", "01060000"},
	{"datagrams", "P0", "0181000f 0400020001 02000701 $M 0003616263 00026465", "01000000 0003636261 00026564"},
	{"datagrams by the network only", "P0", "0101000f 0400020001 02000701 $M 0003616263", "01000000 0003636261"},
	{"datagrams bypass", "P0", "0181000f 0400020001 02000701 7f000009 0050", "01030000"},
	{"datagrams forwarded", "P5", "01810000 0003616263", "01000000 0003636261"},
	{"unix", "P0", "0101$UL 0400020010 02 $U 0000 $H", "01000000 $H"},
	{"unix nobody", "P0", "0101$VL 0400020010 02 $V 0000", "01070000"},
}

func TestRelayBytes(t *testing.T) {
	folder := t.TempDir()
	echoes, mirror, nobody := echoServer(t, "tcp4", "127.0.0.1:0"), udpMirror(t), unusedAddr(t)
	unix := echoServer(t, "unix", filepath.Join(folder, "u"))
	path := func(name, path string) []string {
		length := len(path)
		return []string{
			"$" + name + "L", fmt.Sprintf("%04x", 5+3+2+length+2),
			"$" + name, fmt.Sprintf("%04x 03 %02x %x", 2+length+2, length, path),
		}
	}
	all := append(path("U", unix), path("V", filepath.Join(folder, "v"))...)
	all = append(all, "$AP", hexPort(echoes), "$A", hexIP(echoes)+hexPort(echoes), "$B", hexIP(nobody)+hexPort(nobody),
		"$M", hexIP(mirror)+hexPort(mirror), "$H", hex.EncodeToString([]byte("hello")))
	for _, gateway := range bothGateways {
		t.Run(gateway.name, func(t *testing.T) {
			addrs := serveRelays(t, gateway.binary(t), echoes, mirror)
			for _, talk := range relayTalks {
				t.Run(talk.name, func(t *testing.T) {
					t.Parallel()
					fill := strings.NewReplacer(all...)
					want := unhex(t, fill.Replace(talk.want))
					got := converse(t, addrs[talk.service[1]-'0'], fill.Replace(talk.send), want)
					if !bytes.Equal(got, want) {
						t.Errorf("got %x, want %x", got, want)
					}
				})
			}
		})
	}
}

// relayNodes are ways from a first proxy through a relay.
var relayNodes = []struct {
	name, addr, node string
	associates       bool
}{
	{"tcp", "P0", "connector: {type: relay}, dialer: {type: tcp}", false},
	{"nodelay", "P1", "connector: {type: relay, auth: {username: gost, password: secret}, metadata: {nodelay: true}}, dialer: {type: tcp}", false},
	{"user", "P1", "connector: {type: relay, auth: {username: gost, password: secret}}, dialer: {type: tcp}", false},
	{"bind", "P2", "connector: {type: relay}, dialer: {type: tcp}", true},
	{"tls", "P6", "connector: {type: relay, auth: {username: gost, password: secret}}, dialer: {type: tls}", true},
	{"ws", "P7", "connector: {type: relay}, dialer: {type: ws}", true},
	{"wss", "P8", "connector: {type: relay}, dialer: {type: wss}", false},
}

// TestRelayChains sends streams and datagrams through chains of all pairs.
func TestRelayChains(t *testing.T) {
	mirror := udpMirror(t)
	for _, pair := range [][2]int{{0, 0}, {0, 1}, {1, 0}, {1, 1}} {
		first, second := bothGateways[pair[0]], bothGateways[pair[1]]
		t.Run(first.name+" through "+second.name, func(t *testing.T) {
			binary := first.binary(t)
			seconds := serveRelays(t, second.binary(t), unusedAddr(t), mirror)
			var config strings.Builder
			config.WriteString("services:\n")
			for i := range relayNodes {
				fmt.Fprintf(&config, "- {name: u%d, addr: $P%d, handler: {type: udp, chain: c%d}, listener: {type: udp, metadata: {keepalive: true, readBufferSize: 65535}}, forwarder: {nodes: [{name: n, addr: %s}]}}\n",
					i, i, i, mirror)
			}
			for i := range relayNodes {
				fmt.Fprintf(&config, "- {name: s%d, addr: $P%d, handler: {type: socks5, chain: c%d, metadata: {udp: true, udp.bufferSize: 65535}}, listener: {type: tcp}}\n",
					i, len(relayNodes)+i, i)
			}
			config.WriteString("chains:\n")
			for i, node := range relayNodes {
				fmt.Fprintf(&config, "- {name: c%d, hops: [{name: h, nodes: [{name: n, addr: %s, %s}]}]}\n", i, seconds[node.addr[1]-'0'], node.node)
			}
			firsts := serveUDP(t, binary, config.String(), 2*len(relayNodes))
			for i, node := range relayNodes {
				t.Run(node.name, func(t *testing.T) {
					t.Run("tcp", func(t *testing.T) { checkStream(t, firsts[len(relayNodes)+i], pair, 64<<20) })
					// GOST forwards at most 32 KiB of a datagram, and no empty ones.
					sizes := []int{1, 1400, 30000}
					if pair == [2]int{1, 1} {
						sizes = append(sizes, 0, 65507)
					}
					t.Run("udp", func(t *testing.T) { checkMirror(t, firsts[i], sizes) })
					if node.associates {
						t.Run("udp associate", func(t *testing.T) { checkDatagrams(t, firsts[len(relayNodes)+i], false) })
					}
				})
			}
		})
	}
}

// TestRelayUnix forwards to a unix socket behind a relay, which is the one that connects to it.
func TestRelayUnix(t *testing.T) {
	t.Parallel()
	path := echoServer(t, "unix", filepath.Join(t.TempDir(), "u"))
	for _, pair := range [][2]int{{0, 0}, {0, 1}, {1, 0}, {1, 1}} {
		first, second := bothGateways[pair[0]], bothGateways[pair[1]]
		t.Run(first.name+" through "+second.name, func(t *testing.T) {
			t.Parallel()
			binary := first.binary(t)
			seconds := serveSocks(t, second.binary(t), `
services:
- {name: relay, addr: $P0, handler: {type: relay}, listener: {type: mtls}}
- {name: http, addr: $P1, handler: {type: http}, listener: {type: tcp}}
`, 2)
			addrs := serveSocks(t, binary, fmt.Sprintf(`
services:
- {name: relay, addr: $P0, handler: {type: tcp, chain: relay}, listener: {type: tcp}, forwarder: {nodes: [{name: n, addr: %[1]q, network: unix}]}}
- {name: http, addr: $P1, handler: {type: tcp, chain: http}, listener: {type: tcp}, forwarder: {nodes: [{name: n, addr: %[1]q, network: unix}]}}
chains:
- {name: relay, hops: [{name: h, nodes: [{name: n, addr: %[2]q, connector: {type: relay}, dialer: {type: mtls}}]}]}
- {name: http, hops: [{name: h, nodes: [{name: n, addr: %[3]q, connector: {type: http}, dialer: {type: tcp}}]}]}
`, path, seconds[0], seconds[1]), 2)
			checkThereAndBack(t, dialSocks(t, addrs[0]), 4<<20, false, false)
			// No other protocol has a word for it; nobody goes past the chain.
			conn := dialSocks(t, addrs[1])
			conn.Write([]byte("hello"))
			if got, _ := io.ReadAll(conn); len(got) > 0 {
				t.Errorf("%q comes back", got)
			}
		})
	}
}

// TestRelayRefusals has relays and tunnel servers refuse what a first gateway's clients want: they are told so, or, where nobody has
// waited for the answer, their connections end.
func TestRelayRefusals(t *testing.T) {
	t.Parallel()
	const wrong, delay = "auth: {username: gost, password: wrong}", ", metadata: {nodelay: true}"
	const inTunnel = "{type: tunnel, metadata: {tunnel.id: " + tunnelNobodys + "}, " + wrong + "}"
	nodes := []struct {
		name, addr, connector, target string
		told                          bool
	}{
		{"wrong password", "P1", "{type: relay, " + wrong + "}", "", false},
		{"wrong password, awaited", "P1", "{type: relay, " + wrong + delay + "}", "", true},
		{"no user, awaited", "P1", "{type: relay" + delay + "}", "", true},
		{"bypass", "P0", "{type: relay}", "127.0.0.9:80", false},
		{"bypass, awaited", "P0", "{type: relay" + delay + "}", "127.0.0.9:80", true},
		{"nobody, awaited", "P0", "{type: relay" + delay + "}", unusedAddr(t), true},
		{"another's tunnel", "T", strings.Replace(inTunnel, ", "+wrong, "", 1), "", true},
		{"a user of a tunnel server", "U", inTunnel, "", true},
	}
	for _, pair := range [][2]int{{0, 0}, {0, 1}, {1, 0}, {1, 1}} {
		first, second := bothGateways[pair[0]], bothGateways[pair[1]]
		t.Run(first.name+" through "+second.name, func(t *testing.T) {
			t.Parallel()
			binary := first.binary(t)
			echoes := echoServer(t, "tcp4", "127.0.0.1:0")
			seconds := serveRelays(t, second.binary(t), echoes, udpMirror(t))
			tunnels := serveTunnels(t, second.binary(t), "")
			config, chains := "services:\n", "chains:\n"
			for i, node := range nodes {
				addr := map[string]string{"P0": seconds[0], "P1": seconds[1], "T": tunnels[0], "U": tunnels[2]}[node.addr]
				config += fmt.Sprintf("- {name: s%d, addr: $P%d, handler: {type: socks5, chain: c%d}, listener: {type: tcp}}\n", i, i, i)
				chains += fmt.Sprintf("- {name: c%d, hops: [{name: h, nodes: [{name: n, addr: '%s', connector: %s, dialer: {type: tcp}}]}]}\n", i, addr, node.connector)
			}
			firsts := serveSocks(t, binary, config+chains, len(nodes))
			for i, node := range nodes {
				t.Run(node.name, func(t *testing.T) {
					target := node.target
					if target == "" {
						target = echoes
					}
					if node.told {
						checkRefused(t, firsts[i], target)
						return
					}
					conn := socks5(t, firsts[i], 1, target)
					conn.Write([]byte("hello"))
					if got, err := io.ReadAll(conn); errors.Is(err, os.ErrDeadlineExceeded) || len(got) > 0 {
						t.Errorf("%q comes back, %v", got, err)
					}
				})
			}
		})
	}
}

// echoServer sends back what it is sent, and returns its address.
func echoServer(t *testing.T, network, addr string) string {
	return serveEach(t, network, addr, func(conn net.Conn) { io.Copy(conn, conn) })
}
