package interop

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// dnsModes are what carries questions, to listeners and to servers alike.
var dnsModes = []string{"udp", "tcp", "tls", "https"}

// zone is a server that knows some names below test. and remembers what it was asked.
type zone struct {
	addr  string
	mutex sync.Mutex
	asked []*dns.Msg
	// All answers about the address of held.test, which last for a second, but the first wait until it is closed.
	release chan struct{}
	empty   bool // it knows no name
}

const zoneRecords = `
a.test. 300 IN A 192.0.2.1
a.test. 300 IN A 192.0.2.2
a.test. 200 IN AAAA 2001:db8::1
alias.test. 100 IN CNAME a.test.
mail.test. 300 IN MX 10 a.test.
text.test. 300 IN TXT "two parts" "and a \"quote\""
service.test. 300 IN SRV 1 2 443 a.test.
web.test. 300 IN HTTPS 1 . alpn="h2"
odd.test. 300 IN TYPE65400 \# 3 010203
held.test. 1 IN A 127.0.0.1
both.here.test. 300 IN A 127.0.0.1
both.here.test. 300 IN AAAA ::1
v4.here.test. 300 IN A 127.0.0.1
v6.here.test. 300 IN AAAA ::1
`

// startZone serves it over UDP and TCP.
func startZone(t *testing.T) *zone {
	z := &zone{}
	z.addr = unusedAddr(t)
	for _, network := range []string{"udp", "tcp"} {
		ready := make(chan struct{})
		server := &dns.Server{Addr: z.addr, Net: network, Handler: z, NotifyStartedFunc: func() { close(ready) }}
		go server.ListenAndServe()
		<-ready
		t.Cleanup(func() { server.Shutdown() })
	}
	return z
}

func (z *zone) ServeDNS(w dns.ResponseWriter, question *dns.Msg) {
	z.mutex.Lock()
	z.asked = append(z.asked, question.Copy())
	asked := len(z.asked)
	z.mutex.Unlock()
	isUDP := w.LocalAddr().Network() == "udp"
	reply := z.answer(question)
	switch name := strings.ToLower(question.Question[0].Name); {
	case name == "held.test." && asked > 1:
		<-z.release
	case name == "silent.test.":
		return
	case name == "wrong.test.":
		reply.Id++
	case name == "late.test." && isUDP:
		wrong := reply.Copy()
		wrong.Id++
		wrong.Answer = nil
		w.WriteMsg(wrong)
	}
	if isUDP {
		size := dns.MinMsgSize
		if opt := question.IsEdns0(); opt != nil {
			size = int(opt.UDPSize())
		}
		reply.Truncate(size)
	}
	w.WriteMsg(reply)
}

func (z *zone) answer(question *dns.Msg) *dns.Msg {
	reply := new(dns.Msg).SetReply(question)
	reply.RecursionAvailable = true
	q := question.Question[0]
	known := false
	find := func(name string, kind uint16) {
		parser := dns.NewZoneParser(strings.NewReader(zoneRecords), "", "")
		for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
			if z.empty || !strings.EqualFold(rr.Header().Name, name) {
				continue
			}
			known = true
			if rr.Header().Rrtype == kind {
				rr.Header().Name = name
				reply.Answer = append(reply.Answer, rr)
			}
		}
	}
	find(q.Name, q.Qtype)
	switch strings.ToLower(q.Name) {
	case "alias.test.":
		find(q.Name, dns.TypeCNAME)
		find("a.test.", q.Qtype)
	case "long.test.":
		known = true
		for i := range 60 {
			rr := &dns.A{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 300}, A: net.IPv4(192, 0, 2, byte(i))}
			reply.Answer = append(reply.Answer, rr)
		}
	case "late.test.":
		find("a.test.", q.Qtype)
	case "fail.test.":
		known = true
		reply.Rcode = dns.RcodeServerFailure
	case "silent.test.", "wrong.test.":
		known = true
	}
	if !known {
		reply.Rcode = dns.RcodeNameError
	}
	if len(reply.Answer) == 0 {
		soa, _ := dns.NewRR("test. 600 IN SOA ns.test. admin.test. 1 2 3 4 5")
		reply.Ns = append(reply.Ns, soa)
	}
	if opt := question.IsEdns0(); opt != nil {
		reply.SetEdns0(1232, opt.Do())
	}
	return reply
}

// questions are those since it was last called, without their numbers.
func (z *zone) questions() (all []string) {
	z.mutex.Lock()
	defer z.mutex.Unlock()
	for _, question := range z.asked {
		question.Id = 0
		all = append(all, inFull(question))
	}
	z.asked = nil
	return all
}

// inFull is a message as bytes, with all names in full: servers may write them shorter.
func inFull(message *dns.Msg) string {
	message = message.Copy()
	message.Compress = false
	packed, err := message.Pack()
	if err != nil {
		return err.Error()
	}
	return hex.EncodeToString(packed)
}

// exchangeDNS asks a service over what carries its questions. The answer is empty when there is none, in time.
func exchangeDNS(t *testing.T, mode, addr string, message []byte, patience time.Duration) []byte {
	t.Helper()
	switch mode {
	case "https":
		client := &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
		defer client.CloseIdleConnections()
		response, err := client.Post("https://"+addr+"/dns-query", "application/dns-message", bytes.NewReader(message))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != http.StatusOK {
			return nil
		}
		return body
	case "udp":
		conn := dialUDP(t, addr)
		defer conn.Close()
		conn.Write(message)
		conn.SetReadDeadline(time.Now().Add(patience))
		buffer := make([]byte, 65536)
		n, err := conn.Read(buffer)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		return buffer[:n]
	}
	var conn net.Conn
	var err error
	if mode == "tls" {
		conn, err = tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
	} else {
		conn, err = net.Dial("tcp", addr)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.Write(append([]byte{byte(len(message) >> 8), byte(len(message))}, message...))
	conn.SetReadDeadline(time.Now().Add(patience))
	head := make([]byte, 2)
	if _, err := io.ReadFull(conn, head); err != nil {
		return nil
	}
	reply := make([]byte, int(head[0])<<8|int(head[1]))
	if _, err := io.ReadFull(conn, reply); err != nil {
		t.Fatal(err)
	}
	return reply
}

func question(name string, kind uint16) *dns.Msg {
	message := new(dns.Msg).SetQuestion(name, kind)
	message.Id = 0x1234
	return message
}

func packed(t *testing.T, message *dns.Msg) []byte {
	bytes, err := message.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

// dnsServices has a service for each mode, $P0 to $P3, and one over TCP to wait for.
func dnsServices(servers []string, more string) string {
	var config strings.Builder
	config.WriteString("log: {level: warn}\nservices:\n")
	for i, mode := range dnsModes {
		fmt.Fprintf(&config, "- {name: %s, addr: $P%d, %s handler: {type: dns, metadata: {timeout: 2s}}, listener: {type: dns, metadata: {mode: %s}}, forwarder: {nodes: [{name: n, addr: '%s'}]}}\n",
			mode, i, more, mode, servers[i])
	}
	config.WriteString("- {name: last, addr: $P4, handler: {type: http}, listener: {type: tcp}}\n")
	return config.String()
}

// trusted makes a certificate for 127.0.0.1, and has the programs that are started from now on trust it.
func trusted(t *testing.T) (cert, key string) {
	folder := t.TempDir()
	write := func(name, kind string, der []byte, err error) string {
		file := filepath.Join(folder, name)
		if err == nil {
			err = os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return file
	}
	authority, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	issuer := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	root, err := x509.CreateCertificate(rand.Reader, issuer, issuer, &authority.PublicKey, authority)
	t.Setenv("SSL_CERT_FILE", write("roots.pem", "CERTIFICATE", root, err))
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: issuer.NotBefore, NotAfter: issuer.NotAfter,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, leaf, issuer, &own.PublicKey, authority)
	cert = write("cert.pem", "CERTIFICATE", der, err)
	der, err = x509.MarshalPKCS8PrivateKey(own)
	return cert, write("key.pem", "PRIVATE KEY", der, err)
}

// TestDNS has questions pass through both gateways over everything that carries them. The answers are the zone's, and it is
// asked what the client asks.
func TestDNS(t *testing.T) {
	// GOST remembers the answer to one question for who asks it otherwise.
	withEDNS := question("mail.test.", dns.TypeA)
	withEDNS.SetEdns0(1232, true)
	strange := question("A.tEST.", dns.TypeA)
	strange.RecursionDesired, strange.CheckingDisabled, strange.AuthenticatedData = false, true, true
	questions := []*dns.Msg{question("a.test.", dns.TypeA), question("a.test.", dns.TypeAAAA), question("alias.test.", dns.TypeA),
		question("mail.test.", dns.TypeMX), question("text.test.", dns.TypeTXT), question("service.test.", dns.TypeSRV),
		question("web.test.", dns.TypeHTTPS), question("odd.test.", 65400), question("nowhere.test.", dns.TypeA),
		question("text.test.", dns.TypeA), question("fail.test.", dns.TypeA), withEDNS, strange}
	z := startZone(t)
	for _, pair := range [][2]int{{0, 0}, {0, 1}, {1, 0}, {1, 1}} {
		first, second := bothGateways[pair[0]], bothGateways[pair[1]]
		t.Run(first.name+" through "+second.name, func(t *testing.T) {
			firstBinary, secondBinary := first.binary(t), second.binary(t)
			udp := "udp://" + z.addr
			cert, key := trusted(t)
			config := dnsServices([]string{udp, "tcp://" + z.addr, udp, z.addr}, "")
			config = strings.ReplaceAll(config, "{mode: https}", fmt.Sprintf("{mode: https}, tls: {certFile: %q, keyFile: %q}", cert, key))
			seconds := serveUDP(t, secondBinary, config, 5)
			var servers []string
			for i, mode := range dnsModes {
				server := mode + "://" + seconds[i]
				if mode == "https" {
					server += "/dns-query"
				}
				servers = append(servers, server)
			}
			firsts := serveUDP(t, firstBinary, dnsServices(servers, ""), 5)
			for i, mode := range dnsModes {
				t.Run(mode, func(t *testing.T) {
					z.questions()
					for _, asked := range questions {
						reply := new(dns.Msg)
						raw := exchangeDNS(t, mode, firsts[i], packed(t, asked), deadline)
						if err := reply.Unpack(raw); err != nil {
							t.Errorf("%s: %x: %v", asked.Question[0].String(), raw, err)
							continue
						}
						if got, want := inFull(reply), inFull(z.answer(asked)); got != want {
							t.Errorf("%s: got\n%s\nwant\n%s", asked.Question[0].String(), reply, z.answer(asked))
						}
						want := asked.Copy()
						want.Id = 0
						if got := z.questions(); len(got) != 1 || got[0] != inFull(want) {
							t.Errorf("%s: the zone is asked %s, want %s", asked.Question[0].String(), got, inFull(want))
						}
					}
					// Now they are remembered.
					for _, asked := range questions[:8] {
						raw := exchangeDNS(t, mode, firsts[i], packed(t, asked), deadline)
						reply := new(dns.Msg)
						if err := reply.Unpack(raw); err != nil || len(reply.Answer) == 0 || reply.Id != asked.Id {
							t.Errorf("%s: %x: %v", asked.Question[0].String(), raw, err)
						}
					}
					if got := z.questions(); len(got) != 0 {
						t.Errorf("the zone is asked again: %s", got)
					}
				})
			}
		})
	}
}

// TestDNSAsync asks about an answer that has expired while nobody can tell the new one: services and resolvers don't wait for it.
func TestDNSAsync(t *testing.T) {
	t.Parallel()
	port := letters(t)
	for _, gateway := range bothGateways {
		t.Run(gateway.name, func(t *testing.T) {
			t.Parallel()
			binary := gateway.binary(t)
			check := func(t *testing.T, services string, ask func(addr string) bool) {
				z := startZone(t)
				z.release = make(chan struct{})
				defer sync.OnceFunc(func() { close(z.release) })()
				addrs := serveUDP(t, binary, strings.ReplaceAll(services, "$ZONE", z.addr), 2)
				asked := func() int {
					z.mutex.Lock()
					defer z.mutex.Unlock()
					return len(z.asked)
				}
				for end := time.Now().Add(deadline); asked() < 2; time.Sleep(20 * time.Millisecond) {
					if !ask(addrs[0]) || time.Now().After(end) {
						t.Fatalf("no answer, or no more questions than %d", asked())
					}
				}
				if !ask(addrs[0]) {
					t.Error("no answer while another is waited for")
				}
			}
			t.Run("service", func(t *testing.T) {
				check(t, `
services:
- {name: dns, addr: $P0, handler: {type: dns, metadata: {async: true}}, listener: {type: dns}, forwarder: {nodes: [{name: n, addr: $ZONE}]}}
- {name: last, addr: $P1, handler: {type: http}, listener: {type: tcp}}
`, func(addr string) bool {
					reply := new(dns.Msg)
					raw := exchangeDNS(t, "udp", addr, packed(t, question("held.test.", dns.TypeA)), time.Second)
					return reply.Unpack(raw) == nil && len(reply.Answer) == 1
				})
			})
			t.Run("resolver", func(t *testing.T) {
				check(t, `
services:
- {name: socks5, addr: $P0, resolver: r, handler: {type: socks5}, listener: {type: tcp}}
- {name: last, addr: $P1, handler: {type: http}, listener: {type: tcp}}
resolvers: [{name: r, nameservers: [{addr: $ZONE, async: true}]}]
`, func(addr string) bool { return connectByName(t, addr, "held.test", port) == "4" })
			})
		})
	}
}

// TestDNSBytes compares what a service answers by itself, byte for byte.
func TestDNSBytes(t *testing.T) {
	t.Parallel()
	z := startZone(t)
	name := func(labels ...string) (text string) {
		for _, label := range labels {
			text += fmt.Sprintf("%02x%x", len(label), label)
		}
		return text + "00"
	}
	mapped, blocked := name("mapped", "test"), name("x", "Blocked")
	talks := []struct{ name, send, want string }{
		{"hosts", "1234 0100 0001 0000 0000 0000 " + mapped + "0001 0001", "1234 8100 0001 0002 0000 0000 " + mapped + "0001 0001" +
			mapped + "0001 0001 00000e10 0004 c0000209" + mapped + "0001 0001 00000e10 0004 c000020a"},
		{"hosts v6", "1234 0130 0001 0000 0000 0000 " + mapped + "001c 0001", "1234 8110 0001 0001 0000 0000 " + mapped + "001c 0001" +
			mapped + "001c 0001 00000e10 0010 20010db8000000000000000000000009"},
		{"hosts with EDNS", "1234 0000 0001 0000 0000 0001 " + name("alias", "test") + "0001 0001 00 0029 0200 00000000 0000",
			"1234 8000 0001 0001 0000 0000 " + name("alias", "test") + "0001 0001" + name("alias", "test") + "0001 0001 00000e10 0004 c000020b"},
		{"bypass", "1234 0100 0001 0000 0000 0000 " + blocked + "000f 0001", "1234 8100 0001 0000 0000 0000 " + blocked + "000f 0001"},
		{"no question", "1234 0100 0000 0000 0000 0000", "1234 8101 0000 0000 0000 0000"},
		{"two questions", "1234 0100 0002 0000 0000 0000 00 0001 0001 00 0001 0001", "1234 8101 0000 0000 0000 0000"},
		{"an update", "1234 2800 0001 0000 0000 0000 00 0006 0001", "1234 a804 0000 0000 0000 0000"},
		{"an answer", "1234 8100 0001 0000 0000 0000 " + mapped + "0001 0001", ""},
		{"too short", "1234 0100 0001 0000", ""},
	}
	for _, gateway := range bothGateways {
		t.Run(gateway.name, func(t *testing.T) {
			t.Parallel()
			config := dnsServices([]string{z.addr, z.addr, z.addr, z.addr}, "hosts: hosts-0, bypass: bypass-0,") + `
hosts:
- name: hosts-0
  mappings:
  - {ip: 192.0.2.9, hostname: mapped.test}
  - {ip: 192.0.2.10, hostname: mapped.test}
  - {ip: '2001:db8::9', hostname: mapped.test}
  - {ip: 192.0.2.11, hostname: alias.test}
bypasses:
- {name: bypass-0, matchers: ['*.blocked']}
`
			if gateway.name != "drawspan" {
				// It compares names as they are spelled.
				config = strings.ReplaceAll(config, "'*.blocked'", "'*.Blocked'")
			}
			addrs := serveUDP(t, gateway.binary(t), config, 5)
			for _, talk := range talks {
				for i, mode := range dnsModes[:3] {
					patience := deadline
					if talk.want == "" {
						patience = 300 * time.Millisecond
					}
					got := exchangeDNS(t, mode, addrs[i], unhex(t, talk.send), patience)
					if want := unhex(t, talk.want); !bytes.Equal(got, want) {
						t.Errorf("%s over %s: got %x, want %x", talk.name, mode, got, want)
					}
				}
			}
			checkDoH(t, addrs[3], gateway.name == "drawspan")
		})
	}
}

// checkDoH asks in every way, and in some that are none.
func checkDoH(t *testing.T, addr string, isOurs bool) {
	client := &http.Client{Timeout: deadline, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	message := packed(t, question("a.test.", dns.TypeA))
	text := base64.RawURLEncoding.EncodeToString(message)
	for _, ask := range []struct {
		name, method, path, media string
		body                      []byte
		gost, drawspan            int
	}{
		{"get", "GET", "/dns-query?dns=" + text, "", nil, 200, 200},
		{"get elsewhere", "GET", "/?other=1&dns=" + text, "", nil, 200, 200},
		{"post", "POST", "/any", "application/dns-message", message, 200, 200},
		{"nothing", "GET", "/dns-query", "", nil, 400, 400},
		{"not base64", "GET", "/dns-query?dns=%2b%2b", "", nil, 400, 400},
		{"not a message", "GET", "/dns-query?dns=AAAA", "", nil, 400, 400},
		{"another type", "POST", "/dns-query", "application/json", message, 415, 415},
		{"another method", "PUT", "/dns-query", "application/dns-message", message, 405, 405},
		{"no answer", "POST", "/dns-query", "application/dns-message", packed(t, question("silent.test.", dns.TypeA)), 200, 502},
	} {
		request, err := http.NewRequest(ask.method, "https://"+addr+ask.path, bytes.NewReader(ask.body))
		if err != nil {
			t.Fatal(err)
		}
		if ask.media != "" {
			request.Header.Set("Content-Type", ask.media)
		}
		response, err := client.Do(request)
		if err != nil {
			t.Errorf("%s: %v", ask.name, err)
			continue
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		status, major := ask.gost, 1
		if isOurs {
			status, major = ask.drawspan, 2
		}
		if response.StatusCode != status || response.ProtoMajor != major {
			t.Errorf("%s: %s by %s, want %d", ask.name, response.Status, response.Proto, status)
		}
		if reply := new(dns.Msg); status == 200 && ask.name != "no answer" && (reply.Unpack(body) != nil || len(reply.Answer) != 2 ||
			response.Header.Get("Content-Type") != "application/dns-message") {
			t.Errorf("%s: %x", ask.name, body)
		}
	}
}

// TestDNSFaults asks servers that lie, cut answers short, or don't answer. What GOST does otherwise is in docs/differences.md.
func TestDNSFaults(t *testing.T) {
	t.Parallel()
	for i, gateway := range bothGateways {
		t.Run(gateway.name, func(t *testing.T) {
			t.Parallel()
			isOurs := i == 1
			z, dead := startZone(t), unusedAddr(t)
			addrs := serveUDP(t, gateway.binary(t), dnsServices([]string{z.addr, "tcp://" + dead, "tls://" + z.addr, z.addr}, ""), 5)
			ask := func(i int, asked *dns.Msg, patience time.Duration) *dns.Msg {
				raw := exchangeDNS(t, dnsModes[i], addrs[i], packed(t, asked), patience)
				if len(raw) == 0 {
					return nil
				}
				reply := new(dns.Msg)
				if err := reply.Unpack(raw); err != nil {
					t.Errorf("%s: %x: %v", asked.Question[0].String(), raw, err)
				}
				return reply
			}
			const short = 500 * time.Millisecond
			if reply := ask(0, question("silent.test.", dns.TypeA), short); reply != nil {
				t.Errorf("silence is answered: %s", reply)
			}
			for _, i := range []int{1, 2} {
				if reply := ask(i, question("a.test.", dns.TypeA), short); reply != nil {
					t.Errorf("%s: nobody, or who doesn't speak TLS, is answered: %s", dnsModes[i], reply)
				}
			}
			// Answers to other questions are passed over.
			wrong, late := ask(0, question("wrong.test.", dns.TypeA), short), ask(0, question("late.test.", dns.TypeA), short)
			if isOurs {
				if wrong != nil || late == nil || len(late.Answer) != 2 {
					t.Errorf("another's answer is passed on: %s, %s", wrong, late)
				}
			} else if wrong == nil || wrong.Id == 0x1234 || late == nil || len(late.Answer) != 0 {
				t.Errorf("GOST has changed: %s, %s", wrong, late)
			}
			// What is too long for a datagram comes over TCP, and goes on so: by UDP only that it is too long.
			long, byHTTP := ask(0, question("long.test.", dns.TypeA), short), ask(3, question("long.test.", dns.TypeA), short)
			large := question("long.test.", dns.TypeA)
			large.SetEdns0(4096, false)
			byEDNS := ask(0, large, short)
			switch {
			case long == nil || byHTTP == nil || byEDNS == nil || !long.Truncated:
				t.Errorf("%s, %s, %s", long, byHTTP, byEDNS)
			case isOurs && (len(long.Answer) != 0 || byHTTP.Truncated || len(byHTTP.Answer) != 60 || len(byEDNS.Answer) != 60):
				t.Errorf("%s, %s, %s", long, byHTTP, byEDNS)
			case !isOurs && !(byHTTP.Truncated && byEDNS.Truncated):
				t.Errorf("GOST has changed: %s, %s", byHTTP, byEDNS)
			}
			// A failure isn't remembered.
			z.questions()
			for range 2 {
				if reply := ask(0, question("fail.test.", dns.TypeA), short); reply == nil || reply.Rcode != dns.RcodeServerFailure {
					t.Errorf("a failure is %s", reply)
				}
			}
			if got := len(z.questions()); got != map[bool]int{true: 2, false: 1}[isOurs] {
				t.Errorf("the zone is asked %d times", got)
			}
		})
	}
}

// dnsConfig has a service all of whose modules are plugins; its server is found by them.
const dnsConfig = `
services:
- name: service-0
  addr: $P0
  admission: admission-0
  bypass: bypass-0
  hosts: hosts-0
  resolver: resolver-0
  recorders: [{name: recorder-0, record: recorder.service.handler}]
  handler: {type: dns}
  listener: {type: dns, metadata: {mode: $MODE}}
  forwarder: {nodes: [{name: target-0, addr: 'udp://resolved.test:$PORT', bypass: bypass-0}]}
- {name: last, addr: $P1, handler: {type: http}, listener: {type: tcp}}
admissions:
- {name: admission-0, plugin: $ADMISSION}
bypasses:
- {name: bypass-0, plugin: $BYPASS}
hosts:
- {name: hosts-0, plugin: $HOSTS}
resolvers:
- {name: resolver-0, plugin: $RESOLVER}
recorders:
- {name: recorder-0, plugin: $RECORDER}
`

// TestDNSModules compares what modules are asked and told, with their fields; components, too.
func TestDNSModules(t *testing.T) {
	t.Parallel()
	z := startZone(t)
	withEDNS := question("text.test.", dns.TypeTXT)
	withEDNS.SetEdns0(1232, true)
	talks := []struct {
		name  string
		asked *dns.Msg
		calls int
	}{
		{"asked", question("a.test.", dns.TypeA), 6},
		{"asked again", question("a.test.", dns.TypeA), 3},
		{"mapped", question("mapped.test.", dns.TypeA), 3},
		{"mapped v6", question("Mapped.test.", dns.TypeAAAA), 6},
		{"an alias", question("alias.test.", dns.TypeAAAA), 6},
		{"mail", question("mail.test.", dns.TypeMX), 5},
		{"text", withEDNS, 5},
		{"unknown", question("nowhere.test.", dns.TypeSRV), 5},
		{"refused", question("x.blocked.", dns.TypeA), 2},
		{"chaos", &dns.Msg{MsgHdr: dns.MsgHdr{Id: 7}, Question: []dns.Question{{Name: "version.bind.", Qtype: dns.TypeTXT, Qclass: dns.ClassCHAOS}}}, 4},
	}
	for _, kind := range []string{"grpc", "http"} {
		for _, mode := range dnsModes {
			t.Run(kind+" "+mode, func(t *testing.T) {
				t.Parallel()
				server := startPluginserver(t)
				_, port, _ := net.SplitHostPort(z.addr)
				run := func(t *testing.T, binary string, isWasm bool) map[string][]any {
					p0, p1 := unusedAddr(t), unusedAddr(t)
					fill := []string{"$P0", p0, "$P1", p1, "$PORT", port, "$MODE", mode}
					for _, module := range []string{"admission", "bypass", "hosts", "resolver", "recorder"} {
						block := server.block(kind, module)
						if isWasm {
							block = toldBlock(t, "")
						}
						fill = append(fill, "$"+strings.ToUpper(module), block)
					}
					log := startGateway(t, binary, configFile(t, "%s", strings.NewReplacer(fill...).Replace(dnsConfig)), p1)
					server := server
					if isWasm {
						server = &pluginServer{log: log, bell: p1}
					}
					all := map[string][]any{}
					for _, talk := range talks {
						settle(t, server)
						if raw := exchangeDNS(t, mode, p0, packed(t, talk.asked), deadline); len(raw) == 0 {
							t.Errorf("%s: no answer", talk.name)
						}
						all[talk.name] = admittedOnce(t, askedFor(t, server, true))
						for _, told := range all[talk.name] {
							question, _ := told.(map[string]any)
							body, _ := question["body"].(map[string]any)
							record, _ := body["record"].(map[string]any)
							// What nobody else answers is recorded under our own address.
							if record["host"] == p0 {
								record["host"] = "$P0"
							}
						}
					}
					settle(t, server)
					checkDenied(t, mode, p0, packed(t, talks[0].asked))
					all["denied"] = admittedOnce(t, askedFor(t, server, false))
					return all
				}
				gost := run(t, gostpeer, false)
				asks := func(t *testing.T, drawspan map[string][]any) {
					if a, b := gost["denied"], drawspan["denied"]; len(a) != 1 || !reflect.DeepEqual(a, b) {
						t.Errorf("denied: it asks and tells\n%s\nwant, as GOST,\n%s", pretty(b), pretty(a))
					}
					for _, talk := range talks {
						// Admission comes before them.
						if a, b := gost[talk.name], drawspan[talk.name]; len(a) != 1+talk.calls || !reflect.DeepEqual(a, b) {
							t.Errorf("%s: it asks and tells\n%s\nwant, as GOST,\n%s", talk.name, pretty(b), pretty(a))
						}
					}
				}
				t.Run("drawspan", func(t *testing.T) { asks(t, run(t, drawspanBinary(t), false)) })
				if kind == "http" {
					t.Run("wasm", func(t *testing.T) { asks(t, run(t, drawspanBinary(t), true)) })
				}
			})
		}
	}
}

// admittedOnce is what was asked and told, with one question to an admission, which comes first: GOST asks it about a datagram
// and about its session, or about a connection in the listener and in the service (docs/differences.md).
func admittedOnce(t *testing.T, asked []record) []any {
	t.Helper()
	var others []record
	var clients []any
	for _, r := range asked {
		if moduleOf(r) != "admission" {
			others = append(others, r)
			continue
		}
		var body struct{ Addr string }
		if err := json.Unmarshal([]byte(r.Body), &body); err != nil || len(others) > 0 {
			t.Errorf("admission is asked %s behind %d others, %v", r.Body, len(others), err)
		}
		host, _, _ := net.SplitHostPort(body.Addr)
		if len(clients) == 0 || clients[0] != host {
			clients = append(clients, host)
		}
	}
	return append(clients, told(t, others)...)
}

// checkDenied asks from an address that isn't admitted.
func checkDenied(t *testing.T, mode, addr string, message []byte) {
	t.Helper()
	if mode == "https" {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(denied)}}
		client := &http.Client{Timeout: deadline, Transport: &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
		defer client.CloseIdleConnections()
		response, err := client.Post("https://"+addr+"/dns-query", "application/dns-message", bytes.NewReader(message))
		if err != nil {
			return
		}
		defer response.Body.Close()
		if body, _ := io.ReadAll(response.Body); response.StatusCode == http.StatusOK && len(body) > 0 {
			t.Errorf("who isn't admitted is answered %x", body)
		}
		return
	}
	service := "P0"
	if mode == "udp" {
		service = "Q2"
	} else {
		message = append([]byte{byte(len(message) >> 8), byte(len(message))}, message...)
	}
	conn := dialFrom(t, denied, service, addr)
	defer conn.Close()
	if mode == "tls" {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	conn.SetDeadline(time.Now().Add(time.Second))
	conn.Write(message)
	if read, _ := conn.Read(make([]byte, 1)); read > 0 {
		t.Errorf("who isn't admitted is answered")
	}
}

// TestDNSStats compares what an observer is told at last: each question is a connection.
func TestDNSStats(t *testing.T) {
	server := startPluginserver(t)
	last := func(t *testing.T, binary string) (stats map[string]any) {
		config := `
log: {level: warn}
services:
- {name: s, addr: $P0, observer: o, hosts: h, handler: {type: dns, metadata: {dns: 127.0.0.1}}, listener: {type: dns}, metadata: {enableStats: true, observer.period: 1s}}
- {name: last, addr: $P1, handler: {type: http}, listener: {type: tcp}}
hosts: [{name: h, mappings: [{ip: 192.0.2.9, hostname: mapped.test}]}]
observers: [{name: o, plugin: {type: http, addr: '` + server.plugin("http", "observer") + `'}}]
`
		addrs := serveUDP(t, binary, config, 2)
		for range 3 {
			exchangeDNS(t, "udp", addrs[0], packed(t, question("mapped.test.", dns.TypeA)), deadline)
		}
		for end := time.Now().Add(deadline); stats["totalConns"] != 3.0 || stats["currentConns"] != 0.0; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("told at last: %v", stats)
			}
			for _, r := range server.asked(t) {
				var body struct {
					Events []struct{ Stats map[string]any }
				}
				if err := json.Unmarshal([]byte(r.Body), &body); err != nil {
					t.Fatal(err)
				}
				for _, event := range body.Events {
					if event.Stats != nil {
						stats = event.Stats
					}
				}
			}
		}
		return stats
	}
	gost := last(t, gostpeer)
	t.Run("drawspan", func(t *testing.T) {
		if drawspan := last(t, drawspanBinary(t)); !reflect.DeepEqual(gost, drawspan) {
			t.Errorf("it tells %v, want, as GOST, %v", drawspan, gost)
		}
	})
}

// TestDig asks drawspan with dig, over everything that carries questions, and unbound behind it by the same.
func TestDig(t *testing.T) {
	for _, program := range []string{"dig", "unbound"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%s must be there: apt-get install bind9-dnsutils unbound", program)
			}
			t.Skipf("%s isn't there: apt-get install bind9-dnsutils unbound", program)
		}
	}
	binary := drawspanBinary(t)
	servers := startUnbound(t)
	addrs := serveUDP(t, binary, dnsServices(servers, "hosts: hosts-0,")+
		"hosts:\n- {name: hosts-0, mappings: [{ip: 192.0.2.9, hostname: mapped.test}]}\n", 5)
	for i, mode := range dnsModes {
		flags := map[string][]string{"udp": {"+notcp"}, "tcp": {"+tcp"}, "tls": {"+tls"}, "https": {"+https"}}[mode]
		host, port, _ := net.SplitHostPort(addrs[i])
		dig := func(args ...string) string {
			args = append(append(append([]string{"@" + host, "-p", port}, flags...), "+tries=1", "+time=10"), args...)
			output, err := exec.Command("dig", args...).CombinedOutput()
			if err != nil {
				t.Errorf("dig %q: %v\n%s", args, err, output)
			}
			return string(output)
		}
		for _, ask := range []struct{ name, kind, want string }{
			{"a.test", "A", "192.0.2.1\n"},
			{"A.TEST", "A", "192.0.2.1\n"},
			{"a.test", "AAAA", "2001:db8::1\n"},
			{"text.test", "TXT", "\"some text\"\n"},
			{"mapped.test", "A", "192.0.2.9\n"},
			{"nowhere.test", "A", ""},
		} {
			if got := dig("+short", ask.name, ask.kind); got != ask.want {
				t.Errorf("%s %s over %s: %q, want %q", ask.name, ask.kind, mode, got, ask.want)
			}
		}
		// A datagram of 1232 bytes is too short for it; who may says more, or asks over TCP.
		if got := strings.Count(dig("+short", "+ignore", "+bufsize=4096", "long.test", "A"), "\n"); got != 100 {
			t.Errorf("%d addresses over %s, want 100", got, mode)
		}
		for _, want := range []string{"status: NXDOMAIN", ";; flags: qr aa rd ra;", "EDNS: version: 0"} {
			if got := dig("nowhere.test"); !strings.Contains(got, want) {
				t.Errorf("over %s without %q:\n%s", mode, want, got)
			}
		}
	}
}

// startUnbound serves test., and returns its addresses, one for each mode.
func startUnbound(t *testing.T) []string {
	addr, secret, web := unusedAddr(t), unusedAddr(t), unusedAddr(t)
	cert, key := trusted(t)
	port := func(addr string) string {
		_, port, _ := net.SplitHostPort(addr)
		return port
	}
	folder := t.TempDir()
	var config strings.Builder
	fmt.Fprintf(&config, `server:
  interface: 127.0.0.1@%[1]s
  interface: 127.0.0.1@%[2]s
  interface: 127.0.0.1@%[3]s
  tls-port: %[2]s
  https-port: %[3]s
  tls-service-pem: %[5]q
  tls-service-key: %[6]q
  directory: %[4]q
  pidfile: ""
  username: ""
  chroot: ""
  use-syslog: no
  do-daemonize: no
  access-control: 127.0.0.0/8 allow
  module-config: "iterator"
  local-zone: "test." static
  local-data: "test. 600 IN SOA ns.test. admin.test. 1 2 3 4 5"
  local-data: "a.test. 300 IN A 192.0.2.1"
  local-data: "a.test. 300 IN AAAA 2001:db8::1"
  local-data: 'text.test. 300 IN TXT "some text"'
`, port(addr), port(secret), port(web), folder, cert, key)
	for i := range 100 {
		fmt.Fprintf(&config, "  local-data: \"long.test. 300 IN A 192.0.2.%d\"\n", i)
	}
	config.WriteString("remote-control:\n  control-enable: no\n")
	file := filepath.Join(folder, "unbound.conf")
	if err := os.WriteFile(file, []byte(config.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	_, exited := start(t, nil, "unbound", "-d", "-c", file)
	eventually(t, "unbound to listen", exited, func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return []string{addr, "tcp://" + addr, "tls://" + secret, "https://" + web + "/dns-query"}
}
