package interop

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// nameserverRows are lists of nameservers: $Z is the zone, $T and $H are gateways before it by TLS and HTTPS. Each resolves some names,
// twice.
var nameserverRows = []struct{ name, servers string }{
	{"default", "{addr: $Z}"},
	{"tcp", "{addr: 'tcp://$Z'}"},
	{"tls", "{addr: 'tls://$T'}"},
	{"https", "{addr: 'https://$H/dns-query'}"},
	{"prefer ipv4", "{addr: $Z, prefer: ipv4}"},
	{"prefer ipv6", "{addr: $Z, prefer: ipv6}"},
	{"only ipv4", "{addr: $Z, only: ipv4}"},
	{"only ipv6", "{addr: $Z, only: ipv6, prefer: ipv4}"},
	{"client", "{addr: $Z, clientIP: 192.0.2.77}"},
	{"not kept", "{addr: $Z, ttl: -1s}"},
	{"kept for long", "{addr: $Z, ttl: 1h}"},
	{"async", "{addr: $Z, async: true}"},
	{"async, not kept", "{addr: $Z, async: true, ttl: -1s}"},
	{"none, then one", "{addr: 'tcp://$NOBODY'}, {addr: $Z}"},
}

// TestNameservers compares what resolvers ask nameservers for a name, and where connections to it lead then.
func TestNameservers(t *testing.T) {
	z := startZone(t)
	cert, key := trusted(t)
	// They keep nothing.
	fill := strings.NewReplacer("timeout: 2s", "ttl: -1s", "{mode: https}", fmt.Sprintf("{mode: https}, tls: {certFile: %q, keyFile: %q}", cert, key))
	carriers := serveUDP(t, gostpeer, fill.Replace(dnsServices([]string{z.addr, z.addr, z.addr, z.addr}, "")), 5)
	port := letters(t)
	var seen [][]string
	for _, gateway := range bothGateways {
		t.Run(gateway.name, func(t *testing.T) {
			fill := strings.NewReplacer("$Z", z.addr, "$T", carriers[2], "$H", carriers[3], "$NOBODY", unusedAddr(t))
			services, resolvers := "services:\n", "resolvers:\n"
			for i, row := range nameserverRows {
				services += fmt.Sprintf("- {name: s%d, addr: $P%d, resolver: r%d, handler: {type: socks5}, listener: {type: tcp}}\n", i, i, i)
				resolvers += fmt.Sprintf("- {name: r%d, nameservers: [%s]}\n", i, fill.Replace(row.servers))
			}
			addrs := serveSocks(t, gateway.binary(t), services+resolvers, len(nameserverRows))
			var all []string
			for i, row := range nameserverRows {
				for _, name := range []string{"both", "v4", "v6", "nowhere", "both", "v6"} {
					z.questions()
					answer := connectByName(t, addrs[i], name+".here.test", port)
					all = append(all, fmt.Sprintf("%s, %s: %s after %s", row.name, name, answer, strings.Join(askedAbout(z), ", ")))
				}
			}
			seen = append(seen, all)
		})
	}
	sameAsGOST(t, seen)
}

// TestNameserversDiffer resolves names where GOST does otherwise (docs/differences.md).
func TestNameserversDiffer(t *testing.T) {
	z, empty, port := startZone(t), startZone(t), letters(t)
	empty.empty = true
	rows := []struct{ servers, name, gost, drawspan string }{
		{"{addr: $EMPTY}, {addr: $Z}", "v4", "3", "4"},
		{"{addr: $Z, only: ip6}", "v4", "4", "3"},
		{"{addr: $Z, clientIP: '2001:db8::77'}", "v4", "3", "4"},
	}
	for i, gateway := range bothGateways {
		t.Run(gateway.name, func(t *testing.T) {
			services, resolvers := "services:\n", "resolvers:\n"
			for i, row := range rows {
				services += fmt.Sprintf("- {name: s%d, addr: $P%d, resolver: r%d, handler: {type: socks5}, listener: {type: tcp}}\n", i, i, i)
				resolvers += fmt.Sprintf("- {name: r%d, nameservers: [%s]}\n", i, strings.NewReplacer("$Z", z.addr, "$EMPTY", empty.addr).Replace(row.servers))
			}
			addrs := serveSocks(t, gateway.binary(t), services+resolvers, len(rows))
			for at, row := range rows {
				want := []string{row.gost, row.drawspan}[i]
				if got := connectByName(t, addrs[at], row.name+".here.test", port); got != want {
					t.Errorf("%s, %s: %s, want %s", row.servers, row.name, got, want)
				}
			}
		})
	}
}

// dnsSettings are those of dns handlers; $Z is the zone.
var dnsSettings = []string{"", "ttl: -1s", "ttl: 1h", "clientIP: 192.0.2.77", "timeout: 1s, async: true", "dns: 'tcp://$Z'"}

// TestDNSSettings compares what services ask and answer, by each setting of their handlers.
func TestDNSSettings(t *testing.T) {
	z := startZone(t)
	var seen [][]string
	for _, gateway := range bothGateways {
		t.Run(gateway.name, func(t *testing.T) {
			services := "services:\n"
			for i, settings := range dnsSettings {
				forwarder := fmt.Sprintf(", forwarder: {nodes: [{name: n, addr: '%s'}]}", z.addr)
				if strings.HasPrefix(settings, "dns") {
					forwarder = ""
				}
				services += fmt.Sprintf("- {name: s%d, addr: $P%d, handler: {type: dns, metadata: {%s}}, listener: {type: dns, metadata: {mode: tcp}}%s}\n",
					i, i, strings.ReplaceAll(settings, "$Z", z.addr), forwarder)
			}
			addrs := serveSocks(t, gateway.binary(t), services, len(dnsSettings))
			var all []string
			for i, settings := range dnsSettings {
				for _, asked := range []*dns.Msg{question("a.test.", dns.TypeA), question("alias.test.", dns.TypeAAAA), question("nowhere.test.", dns.TypeMX), question("a.test.", dns.TypeA)} {
					z.questions()
					reply := new(dns.Msg)
					if err := reply.Unpack(exchangeDNS(t, "tcp", addrs[i], packed(t, asked), deadline)); err != nil {
						t.Errorf("{%s} %s: %v", settings, asked.Question[0].Name, err)
					}
					// A server's EDNS is for drawspan alone where the client has none.
					reply.Extra = slices.DeleteFunc(reply.Extra, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeOPT })
					all = append(all, fmt.Sprintf("{%s} %s: %v after %s", settings, asked.Question[0].Name, reply, strings.Join(askedAbout(z), ", ")))
				}
			}
			seen = append(seen, all)
		})
	}
	sameAsGOST(t, seen)
}

// sameAsGOST compares the lines of drawspan, if there are any, with those of GOST.
func sameAsGOST(t *testing.T, seen [][]string) {
	t.Helper()
	if len(seen) < 2 {
		return
	}
	for i := range seen[0] {
		if gost, drawspan := seen[0][i], seen[1][i]; gost != drawspan {
			t.Errorf("it asks and answers\n%s\nwant, as GOST,\n%s", drawspan, gost)
		}
	}
}

// letters says 4 to who comes by IPv4, 6 to others, at the port that it returns.
func letters(t *testing.T) (port int) {
	_, text, _ := net.SplitHostPort(unusedAddr(t))
	for letter, host := range map[string]string{"4": "127.0.0.1", "6": "::1"} {
		listener, err := net.Listen("tcp", net.JoinHostPort(host, text))
		if err != nil && host == "::1" {
			continue // Then neither gateway finds anybody there.
		} else if err != nil {
			t.Fatal(err)
		}
		port = listener.Addr().(*net.TCPAddr).Port
		acceptEach(t, listener, func(conn net.Conn) { io.WriteString(conn, letter) })
	}
	return port
}

// connectByName is what is said at the other end of a connection, or the code of the answer that there is none.
func connectByName(t *testing.T, proxy, name string, port int) string {
	t.Helper()
	conn := dialSocks(t, proxy)
	defer conn.Close()
	conn.Write([]byte{5, 1, 0})
	readBytes(t, conn, 2)
	conn.Write(append(append([]byte{5, 1, 0, 3, byte(len(name))}, name...), byte(port>>8), byte(port)))
	answer := readBytes(t, conn, 10)
	if answer[1] != 0 {
		return fmt.Sprint(answer[1])
	}
	return string(readBytes(t, conn, 1))
}

// askedAbout are the questions of the zone: names, types, flags and the client that they are for. How long an answer may be is a
// gateway's own affair.
func askedAbout(z *zone) (all []string) {
	z.mutex.Lock()
	defer z.mutex.Unlock()
	for _, question := range z.asked {
		asked, flags := question.Question[0], question.MsgHdr
		flags.Id = 0
		text := fmt.Sprintf("%s %s %v", asked.Name, dns.TypeToString[asked.Qtype], flags)
		if opt := question.IsEdns0(); opt != nil {
			for _, option := range opt.Option {
				text += fmt.Sprintf(" %T %s", option, option)
			}
		}
		all = append(all, text)
	}
	return all
}
