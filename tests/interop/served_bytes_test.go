package interop

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// wireEnd is the end of a connection that a test plays by itself; what it reads, another has to say.
type wireEnd struct {
	net.Conn
	reader  *bufio.Reader
	version byte // of smux
	stream  byte // whose frames are meant
	fill    []string
}

func newWireEnd(t *testing.T, conn net.Conn, version byte, fill ...string) *wireEnd {
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(deadline))
	return &wireEnd{conn, bufio.NewReader(conn), version, 3, fill}
}

// play goes through the lines of a dialogue: behind < stand bytes that have to come, behind > what is said then, in hex; ?? is a
// byte that nobody knows. Behind * it is said until something comes: a GOST that reads an answer loses what comes with it. SYN, PSH
// or FIN are before what is in a frame; signs of life and updates of windows may come before each.
func (w *wireEnd) play(t *testing.T, dialogue string) {
	t.Helper()
	for line := range strings.SplitSeq(strings.TrimSpace(dialogue), "\n") {
		line = strings.TrimSpace(line)
		text, command := strings.NewReplacer(w.fill...).Replace(strings.TrimSpace(line[1:])), -1
		for i, name := range []string{"SYN", "FIN", "PSH"} {
			if rest, is := strings.CutPrefix(text, name); is {
				text, command = rest, i
			}
		}
		text = strings.ReplaceAll(text, " ", "")
		want := unhex(t, strings.ReplaceAll(text, "?", "0"))
		if command >= 0 {
			head := []byte{w.version, byte(command), byte(len(want)), byte(len(want) >> 8), w.stream, 0, 0, 0}
			text, want = hex.EncodeToString(head)+text, append(head, want...)
		}
		switch line[0] {
		case '>':
			w.Write(want)
			continue
		case '*':
			eventually(t, "an answer", nil, func() bool {
				w.Write(want)
				w.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
				_, err := w.reader.Peek(1)
				return err == nil
			})
			w.SetReadDeadline(time.Now().Add(deadline))
			continue
		}
		if command >= 0 {
			w.skipSigns(t)
		}
		got := make([]byte, len(want))
		n, err := io.ReadFull(w.reader, got)
		if err != nil {
			t.Fatalf("%s: %x comes, then %v; want %s", line, got[:n], err, text)
		}
		for i, digit := range hex.EncodeToString(got) {
			if text[i] != '?' && text[i] != byte(digit) {
				t.Fatalf("%s: %x comes, want %s", line, got, text)
			}
		}
	}
}

// skipSigns passes over signs of life, and over updates of windows: how much is known to have been read is their sender's affair.
func (w *wireEnd) skipSigns(t *testing.T) {
	t.Helper()
	for {
		head, err := w.reader.Peek(8)
		if err != nil || head[1] != 3 && head[1] != 4 {
			return
		}
		frame := make([]byte, 8+int(head[2]))
		io.ReadFull(w.reader, frame)
		if frame[1] == 4 && (w.version != 2 || binary.LittleEndian.Uint32(frame[12:]) != 1<<20) {
			t.Fatalf("an update of a window: %x", frame)
		}
	}
}

// isOver checks that nothing more comes than the end.
func (w *wireEnd) isOver(t *testing.T) {
	t.Helper()
	w.Conn.(*net.TCPConn).CloseWrite()
	if rest, err := io.ReadAll(w.reader); err != nil || len(rest) > 0 {
		t.Errorf("at the end %x comes, %v", rest, err)
	}
}

// askedNode is what a gateway says to a node for one of its services, and hears from it. $S is where its connection comes from, $C
// where a client's does; $X is x.test and port 80, $H and $D are what clients say, in a stream and in a datagram; $ID is a tunnel.
type askedNode struct {
	name, connector, service string
	version                  byte
	dialogue                 string
}

var askedNodes = []askedNode{
	{"relay", "type: relay, auth: {username: gost, password: secret}", "tcp", 0, `
		< 0101001c 01000c 04676f7374 06736563726574 $X $H
		> 01000000 6869`},
	{"relay without delay", "type: relay, metadata: {nodelay: true}", "tcp", 0, `
		< 0101000d $X
		> 01000000
		< $H
		> 6869`},
	{"relay to a unix socket", "type: relay", "unix", 0, `
		< 01010013 0400020010 02000b 03 07 2f722f736f636b 0000 $H
		> 01000000 6869`},
	{"relay, datagrams", "type: relay", "udp", 0, `
		< 01810012 0400020001 $X 0003 $D
		> 01000000 00026869`},
	{"relay, bind", "type: relay", "rtcp", 1, `
		< 0102000f 0400020000 020007 01 7f000001 0050
		> 0100000a 020007 01 7f000001 0050
		> SYN
		> PSH 0100000a 020007 01 c0000207 a34e $H
		< PSH $H
		> FIN
		< FIN`},
	{"relay, bind of datagrams", "type: relay", "rudp", 0, `
		< 0182000f 0400020001 020007 01 7f000001 0050
		> 0100000a 020007 01 7f000001 0050
		> 0003 ff 01 c0000207 a34e $D
		< 0003 ff 01 c0000207 a34e 636261`},
	{"socks5, bind", "type: socks5, metadata: {notls: true, mux.keepaliveInterval: 100ms}", "rtcp", 1, `
		< 050100
		> 0500
		< 05f20001 7f000001 0050
		> 05000001 7f000001 0050
		< 01030000 00000000
		> SYN
		> PSH 05000001 c0000207 a34e
		> PSH $H
		< PSH $H
		> FIN
		< FIN`},
	{"socks5, bind of datagrams", "type: socks5, metadata: {notls: true}", "rudp", 0, `
		< 050100
		> 0500
		< 05f30001 7f000001 0050
		> 05000001 7f000001 0050
		* 0003 ff 01 c0000207 a34e $D
		< 0003 ff 01 c0000207 a34e 636261`},
	{"tunnel, visit", "type: tunnel, auth: {username: gost, password: secret}, metadata: {tunnel.id: $ID}", "tcp", 0, `
		< 0101003d 01000c 04676f7374 06736563726574 020007 01 $C $X 030014 $ID 00000000
		> 01000000
		< $H
		> 6869`},
	{"tunnel, visit by datagrams", "type: tunnel, metadata: {tunnel.id: $ID}", "udp", 0, `
		< 01810033 0400020001 020007 01 $C $X 030014 $ID 00000000
		> 01000000
		< 0003 $D
		> 00026869`},
	{"tunnel, bind", "type: tunnel, auth: {username: gost, password: secret}, metadata: {tunnel.id: $ID, tunnel.weight: 9}", "rtcp", 2, `
		< 0102003a 01000c 04676f7374 06736563726574 020007 01 $S 020007 01 7f000001 0050 030014 $ID 00000009
		> 0100002e 020014 03 10 61363236356336643938343761346265 0050 030014 0102030405060708090a0b0c0d0e0f10 00000009
		> SYN
		> PSH 0100001a 020007 01 c0000207 a34e 02000d 03 09
		> PSH 7372762e6c6f63616c 0050 $H
		< PSH $H
		> FIN
		< FIN`},
	{"tunnel, bind of datagrams", "type: tunnel, metadata: {tunnel.id: $ID}", "rudp", 2, `
		< 01820030 0400020001 020007 01 $S 020007 01 7f000001 0050 030014 $ID 00000000
		> 0100002e 020014 03 10 61363236356336643938343761346265 0050 030014 0102030405060708090a0b0c0d0e0f10 01000000
		> SYN
		> PSH 0100001a 020007 01 c0000207 a34e 02000d 03 09 7372762e6c6f63616c 0050 0003 $D
		< PSH 0003 636261`},
	{"tunnel, bind that is refused", "type: tunnel, metadata: {tunnel.id: $ID}", "rtcp", 2, `
		< 0102002b 020007 01 $S 020007 01 7f000001 0050 030014 $ID 00000000
		> 01020000`},
}

// TestAskedNodes compares what gateways say to nodes that connect, or accept, for them, byte for byte.
func TestAskedNodes(t *testing.T) {
	t.Parallel()
	echoes, mirror := echoServer(t, "tcp4", "127.0.0.1:0"), udpMirror(t)
	for _, gateway := range bothGateways {
		t.Run(gateway.name, func(t *testing.T) {
			services, chains := "services:\n", "chains:\n"
			var addrs []string
			var nodes []net.Listener
			for i, row := range askedNodes {
				node, err := net.Listen("tcp4", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { node.Close() })
				nodes, addrs = append(nodes, node), append(addrs, unusedAddr(t))
				chain := fmt.Sprintf("chain: c%d", i)
				addr, handler, listener, target := addrs[i], "type: tcp, "+chain, "type: tcp", "x.test:80"
				switch row.service {
				case "unix":
					target = "/r/sock, network: unix"
				case "udp":
					handler, listener = "type: udp, "+chain, "type: udp, metadata: {keepalive: true}"
				case "rtcp":
					addr, handler, listener, target = "127.0.0.1:80", "type: rtcp", "type: rtcp, "+chain, echoes
				case "rudp":
					addr, handler, listener, target = "127.0.0.1:80", "type: rudp", "type: rudp, "+chain, mirror
				}
				services += fmt.Sprintf("- {name: s%d, addr: '%s', handler: {%s}, listener: {%s}, forwarder: {nodes: [{name: n, addr: %s}]}}\n", i, addr, handler, listener, target)
				chains += fmt.Sprintf("- {name: c%d, hops: [{name: h, nodes: [{name: n, addr: '%s', connector: {%s}, dialer: {type: tcp}}]}]}\n",
					i, node.Addr(), strings.ReplaceAll(row.connector, "$ID", tunnel))
			}
			serveSocks(t, gateway.binary(t), services+"- {name: last, addr: $P0, handler: {type: http}, listener: {type: tcp}}\n"+chains, 1)
			for i, row := range askedNodes {
				t.Run(row.name, func(t *testing.T) { checkAskedNode(t, row, nodes[i], addrs[i]) })
			}
		})
	}
}

func checkAskedNode(t *testing.T, row askedNode, node net.Listener, addr string) {
	fill := []string{"$ID", bareTunnel, "$X", "02000a 03 06 782e74657374 0050", "$H", "68656c6c6f", "$D", "616263"}
	var client net.Conn
	switch row.service {
	case "tcp", "unix":
		client = dial(t, addr)
		client.Write([]byte("hello"))
	case "udp":
		client = dialUDP(t, addr)
		client.Write([]byte("abc"))
	}
	if client != nil {
		fill = append(fill, "$C", hexAddr(client.LocalAddr()))
	}
	accept := func() *wireEnd {
		conn, err := node.Accept()
		if err != nil {
			t.Fatal(err)
		}
		return newWireEnd(t, conn, row.version, append(fill, "$S", hexAddr(conn.RemoteAddr()))...)
	}
	end := accept()
	end.play(t, row.dialogue)
	if client != nil {
		if got := readBytes(t, client, 2); string(got) != "hi" {
			t.Errorf("the client gets %q", got)
		}
	}
	if strings.HasSuffix(row.name, "refused") {
		end.isOver(t)
		request, _, _ := strings.Cut(strings.TrimSpace(row.dialogue), "\n")
		accept().play(t, request)
	}
}

var bareTunnel = strings.ReplaceAll(tunnel, "-", "")

func hexAddr(addr net.Addr) string { return hexIP(addr.String()) + hexPort(addr.String()) }

// servedTunnel is what a server of tunnels says to who serves one, and to a visitor. The bind is answered by $O with the tunnel's own
// host, or by $N with new.test; then a visitor says something somewhere. $V is where it comes from.
type servedTunnel struct {
	name, service  string
	command, id    string
	host, more     string
	answer         string
	at, visit      string
	serving, comes string
}

var servedTunnels = []servedTunnel{
	{"stream", "P0", "02", tunnel, "", "", "$O 00000000", "P0", tunnelRequest("01", tunnel, "public.test", ""), `
		< SYN
		< PSH 0100001c 020007 01 c0000207 a34e 02000f 03 0b 7075626c69632e74657374 0000`, "01000000"},
	{"a host of its own", "P0", "02", tunnel, "new.test", "", "$N 00000000", "P0", tunnelRequest("01", tunnelPublic, "public.test", ""), `
		< SYN
		< PSH 0100001c 020007 01 c0000207 a34e 02000f 03 0b 7075626c69632e74657374 0000`, "01000000"},
	{"another's host", "P0", "02", tunnel, "private.test", "", "$O 00000000", "P1", tunnelRequest("01", tunnel, "any.test", ""), `
		< SYN
		< PSH 01000019 020007 01 c0000207 a34e 02000c 03 08 616e792e74657374 0000`, "01000000"},
	{"a user", "P2", "02", tunnel, "", "01000c 04676f7374 06736563726574", "$O 00000000", "P2",
		tunnelRequest("01", tunnel, "public.test", "01000c 04676f7374 06736563726574"), `
		< SYN
		< PSH 0100001c 020007 01 c0000207 a34e 02000f 03 0b 7075626c69632e74657374 0000`, "01000000"},
	{"datagrams", "P3", "82", tunnel, "", "0400020001", "$O 01000000", "P3", tunnelRequest("81", tunnel, "udp.test", "0400020001"), `
		< SYN
		< PSH 01000019 020007 01 c0000207 a34e 02000c 03 08 7564702e74657374 0000`, "01000000"},
	{"http", "P0", "02", tunnel, "", "", "$O 00000000", "P1", hex.EncodeToString([]byte("GET / HTTP/1.1\r\nHost: public.test\r\n\r\n")), `
		< SYN
		< PSH 0100001c 020007 01 $V 02000f 03 0b 7075626c69632e74657374 0050`, ""},
	{"http at another entry point", "P0", "02", tunnel, "", "", "$O 00000000", "P4", hex.EncodeToString([]byte("GET / HTTP/1.1\r\nHost: public.test:81\r\n\r\n")), `
		< SYN
		< PSH 0100001c 020007 01 $V 02000f 03 0b 7075626c69632e74657374 0051`, ""},
	{"http behind a PROXY header", "P0", "02", tunnel, "", "", "$O 00000000", "P1",
		hex.EncodeToString([]byte("PROXY TCP4 192.0.2.7 198.51.100.9 41806 80\r\nGET / HTTP/1.1\r\nHost: public.test\r\n\r\n")), `
		< SYN
		< PSH 0100001c 020007 01 c0000207 a34e 02000f 03 0b 7075626c69632e74657374 0050`, ""},
	{"tls", "P0", "02", tunnel, "", "", "$O 00000000", "P1", helloTo("public.test"), `
		< SYN
		< PSH 0100001c 020007 01 $V 02000f 03 0b 7075626c69632e74657374 01bb`, ""},
}

// helloTo is the first message of a TLS client.
func helloTo(name string) string {
	near, far := net.Pipe()
	go tls.Client(near, &tls.Config{ServerName: name}).Handshake()
	hello := make([]byte, 16<<10)
	read, _ := far.Read(hello)
	far.Close()
	return hex.EncodeToString(hello[:read])
}

// TestServedTunnels compares what servers say to who serves a tunnel, byte for byte.
func TestServedTunnels(t *testing.T) {
	t.Parallel()
	for _, gateway := range bothGateways {
		t.Run(gateway.name, func(t *testing.T) {
			another := unusedAddr(t)
			addrs := serveTunnels(t, gateway.binary(t), fmt.Sprintf(", entrypoint.ProxyProtocol: 1, entrypoints: [{name: another, addr: %q}]", another))
			addrs = append(addrs, another)
			for _, row := range servedTunnels {
				t.Run(row.name, func(t *testing.T) { checkServedTunnel(t, row, addrs) })
			}
		})
	}
}

func checkServedTunnel(t *testing.T, row servedTunnel, addrs []string) {
	id := " 030014 " + strings.Repeat("??", 16)
	serving := newWireEnd(t, dialSocks(t, addrs[row.service[1]-'0']), 2,
		"$O", "0100002e 020014 03 10 61363236356336643938343761346265 0000"+id, "$N", "01000026 02000c 03 08 6e65772e74657374 0000"+id)
	serving.play(t, "> "+tunnelRequest(row.command, row.id, row.host, row.more)+"\n< "+row.answer)
	visited := func() bool {
		conn := dial(t, addrs[row.service[1]-'0'])
		defer conn.Close()
		conn.Write(unhex(t, tunnelRequest("01", tunnel, "public.test", row.more)))
		return readBytes(t, conn, 4)[1] == 0
	}
	eventually(t, "the tunnel to be there", nil, visited)
	defer func() {
		serving.Close()
		eventually(t, "the tunnel to be gone", nil, func() bool { return !visited() })
	}()
	serving.play(t, "< SYN\n< PSH "+strings.Repeat("??", 32)+"\n< FIN\n> FIN")
	serving.stream = 5
	visitor := newWireEnd(t, dialSocks(t, addrs[row.at[1]-'0']), 0)
	serving.fill = append(serving.fill, "$V", hexAddr(visitor.LocalAddr()))
	visitor.play(t, "> "+row.visit)
	serving.play(t, row.serving)
	switch {
	case row.name == "tls":
		// Its hello, as it is.
		serving.play(t, "< PSH "+row.visit)
		return
	case row.comes != "":
		said := map[bool]string{false: "6869", true: "0003 616263"}[row.command == "82"]
		visitor.play(t, "< "+row.comes+"\n> "+said)
		serving.play(t, "< PSH "+said+"\n> PSH 0002 6869")
		visitor.play(t, "< 0002 6869")
	default:
		return
	}
	visitor.Close()
	serving.play(t, "< FIN")
}
