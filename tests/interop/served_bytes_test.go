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
// where a client's does; $X is x.test and port 80, $H and $D are what clients say, in a stream and in a datagram; $ID is a tunnel. With
// "again" at the end it closes, comes again and says the same.
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
		> 01020000
		again`},
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
	dialogue, isAgain := strings.CutSuffix(row.dialogue, "again")
	end.play(t, dialogue)
	if client != nil {
		if got := readBytes(t, client, 2); string(got) != "hi" {
			t.Errorf("the client gets %q", got)
		}
	}
	if isAgain {
		end.isOver(t)
		accept().play(t, dialogue)
	}
}

var bareTunnel = strings.ReplaceAll(tunnel, "-", "")

func hexAddr(addr net.Addr) string { return hexIP(addr.String()) + hexPort(addr.String()) }

// servedTunnel is a visit to who serves a tunnel.
type servedTunnel struct {
	name    string
	service string // of who serves it
	host    string // that it asks for
	named   string // its host in the answer, if that isn't the tunnel's own
	more    string // features of all requests
	at      string // where the visitor comes
	visit   string // what it says at once
	source  string // where it is said to come from; $V is where it does
	target  string // what it is said to want
	port    int
	seen    bool // what it says at once is seen as it is
}

var servedTunnels = []servedTunnel{
	{name: "stream", service: "P0", at: "P0", visit: tunnelRequest("01", tunnel, "public.test", ""), source: "c0000207 a34e", target: "public.test"},
	{name: "a host of its own", service: "P0", host: "new.test", named: "new.test", at: "P0", visit: tunnelRequest("01", tunnelPublic, "public.test", ""),
		source: "c0000207 a34e", target: "public.test"},
	{name: "another's host", service: "P0", host: "private.test", at: "P1", visit: tunnelRequest("01", tunnel, "any.test", ""), source: "c0000207 a34e", target: "any.test"},
	{name: "a user", service: "P2", more: "01000c 04676f7374 06736563726574", at: "P2",
		visit: tunnelRequest("01", tunnel, "public.test", "01000c 04676f7374 06736563726574"), source: "c0000207 a34e", target: "public.test"},
	{name: "datagrams", service: "P3", more: "0400020001", at: "P3", visit: tunnelRequest("81", tunnel, "udp.test", "0400020001"), source: "c0000207 a34e", target: "udp.test"},
	{name: "http", service: "P0", at: "P1", visit: visitOf("public.test", ""), source: "$V", target: "public.test", port: 80},
	{name: "http at another entry point", service: "P0", at: "P4", visit: visitOf("public.test:81", ""), source: "$V", target: "public.test", port: 81},
	{name: "http behind a PROXY header", service: "P0", at: "P1", visit: visitOf("public.test", "PROXY TCP4 192.0.2.7 198.51.100.9 41806 80\r\n"),
		source: "c0000207 a34e", target: "public.test", port: 80},
	{name: "tls", service: "P0", at: "P1", visit: helloTo("public.test"), source: "$V", target: "public.test", port: 443, seen: true},
}

// visitOf is a request for a host.
func visitOf(host, before string) string {
	return hex.EncodeToString([]byte(before + "GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n"))
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
	service := addrs[row.service[1]-'0']
	// Messages have other lengths with other names.
	named := func(host string, port int) string {
		return fmt.Sprintf("02%04x 03 %02x %x %04x", len(host)+4, len(host), host, port)
	}
	message := func(features string) string {
		return fmt.Sprintf("0100%04x %s", len(strings.ReplaceAll(features, " ", ""))/2, features)
	}
	own, command, flags := "a6265c6d9847a4be", "02", "00"
	if row.named != "" {
		own = row.named
	}
	isUDP := strings.HasPrefix(row.visit, "01 81")
	if isUDP {
		command, flags = "82", "01"
	}
	serving := newWireEnd(t, dialSocks(t, service), 2)
	serving.play(t, "> "+tunnelRequest(command, tunnel, row.host, row.more)+
		"\n< "+message(named(own, 0)+" 030014 "+strings.Repeat("??", 16)+flags+"000000"))
	visited := func() bool {
		conn := dial(t, service)
		defer conn.Close()
		conn.Write(unhex(t, tunnelRequest("01", tunnel, "public.test", row.more)))
		return readBytes(t, conn, 4)[1] == 0
	}
	eventually(t, "the tunnel to be there", nil, visited)
	defer func() {
		serving.Close()
		eventually(t, "the tunnel to be gone", nil, func() bool { return !visited() })
	}()
	serving.play(t, "< SYN\n< PSH "+message("020007 01 c0000207 a34e"+named("public.test", 0))+"\n< FIN\n> FIN")

	serving.stream = 5
	visitor := newWireEnd(t, dialSocks(t, addrs[row.at[1]-'0']), 0)
	visitor.play(t, "> "+row.visit)
	source := strings.ReplaceAll(row.source, "$V", hexAddr(visitor.LocalAddr()))
	serving.play(t, "< SYN\n< PSH "+message("020007 01 "+source+named(row.target, row.port)))
	switch {
	case row.seen:
		serving.play(t, "< PSH "+row.visit)
	case row.port == 0:
		said := "6869"
		if isUDP {
			said = "0003 616263"
		}
		visitor.play(t, "< 01000000\n> "+said)
		serving.play(t, "< PSH "+said+"\n> PSH 0002 6869")
		visitor.play(t, "< 0002 6869")
		visitor.Close()
		serving.play(t, "< FIN")
	}
}
