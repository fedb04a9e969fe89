package interop

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// tunnelTelling has a tunnel server whose service and handler tell and ask all that they can about what moves.
const tunnelTelling = `
services:
- {name: service-0, addr: $P0, limiter: m, observer: m, listener: {type: tcp}, metadata: {enableStats: true, observer.period: 1s},
   handler: {type: tunnel, limiter: m, observer: m, metadata: {entrypoint: $P1, ingress: i, observer.period: 1s}},
   recorders: ` + moduleRecorders + `}
ingresses: [{name: i, rules: [{hostname: public.test, endpoint: ` + tunnel + `}, {hostname: tls.test, endpoint: ` + tunnelTLS + `}]}]
limiters: [{name: m, plugin: $LIMITER}]
observers: [{name: m, plugin: $OBSERVER}]
recorders: [{name: m, plugin: $RECORDER}]
`

// tunnelClient serves a tunnel to $HTTP and one to $TLS.
const tunnelClient = `
services:
- {name: http, addr: ':0', handler: {type: rtcp}, listener: {type: rtcp, chain: http}, forwarder: {nodes: [{name: n, addr: $HTTP}]}}
- {name: tls, addr: ':0', handler: {type: rtcp}, listener: {type: rtcp, chain: tls}, forwarder: {nodes: [{name: n, addr: $TLS}]}}
chains:
- {name: http, hops: [{name: h, nodes: [{name: n, addr: $P0, connector: {type: tunnel, metadata: {tunnel.id: ` + tunnel + `}}, dialer: {type: tcp}}]}]}
- {name: tls, hops: [{name: h, nodes: [{name: n, addr: $P0, connector: {type: tunnel, metadata: {tunnel.id: ` + tunnelTLS + `}}, dialer: {type: tcp}}]}]}
`

var (
	hellos  = regexp.MustCompile(`("(client|server)Hello":)"[0-9a-f]+"`)
	ownSids = regexp.MustCompile(`"Gost-Sid":\["[0-9a-z]{20}"\]`)
)

// visitorsSid is what a visitor says that its session is.
const visitorsSid = "of-a-visitor"

// tunnelVisits are visits to the entry point, and one by the tunnel's id.
var tunnelVisits = []struct {
	name  string
	visit func(t *testing.T, server, entrypoint string) string
}{
	{"http", func(t *testing.T, _, entrypoint string) string { return visitHTTP(t, entrypoint, "") }},
	{"http with a session", func(t *testing.T, _, entrypoint string) string {
		return visitHTTP(t, entrypoint, "Gost-Sid: "+visitorsSid+"\r\n")
	}},
	{"tls", func(t *testing.T, _, entrypoint string) string {
		conn, err := tls.Dial("tcp", entrypoint, &tls.Config{ServerName: "tls.test", InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		// Up to the end, which is counted too.
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: tls.test\r\nConnection: close\r\n\r\n")
		answer, err := io.ReadAll(conn)
		if err != nil {
			t.Error(err)
		}
		return string(answer[bytes.Index(answer, []byte("\r\n\r\n")):])
	}},
	{"by its id", func(t *testing.T, server, _ string) string {
		conn := dialSocks(t, server)
		defer conn.Close()
		conn.Write(unhex(t, tunnelRequest("01", tunnel, "public.test", "")))
		if got := readBytes(t, conn, 4); !bytes.Equal(got, []byte{1, 0, 0, 0}) {
			t.Fatalf("refused: %x", got)
		}
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: public.test\r\n\r\n")
		_, body := response(t, conn)
		return body
	}},
}

func visitHTTP(t *testing.T, entrypoint, header string) string {
	conn := dialSocks(t, entrypoint)
	defer conn.Close()
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: public.test\r\n"+header+"\r\n")
	_, body := response(t, conn)
	return body
}

// TestTunnelTelling compares what limiters are asked, and recorders and observers told, about a tunnel and its visitors.
func TestTunnelTelling(t *testing.T) {
	t.Parallel()
	// The session's id is that of the visitor, if it has said one.
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sid := r.Header.Get("Gost-Sid")
		if sid != "" && sid != visitorsSid {
			sid = "…"
		}
		fmt.Fprintf(w, "%s %s %v", r.Host, sid, r.Header.Get("Gost-Forwarded-Node") != "")
	})
	plain, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	for _, kind := range []string{"grpc", "http"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			run := func(t *testing.T, binary string) map[string][]string {
				server := startPluginserver(t)
				fill := strings.NewReplacer("$LIMITER", server.block(kind, "limiter"), "$OBSERVER", server.block(kind, "observer"), "$RECORDER", server.block(kind, "recorder"))
				addrs := serveSocks(t, binary, fill.Replace(tunnelTelling), 2)
				client := strings.NewReplacer("$P0", addrs[0], "$HTTP", plain.Listener.Addr().String(), "$TLS", secure.Listener.Addr().String())
				file := filepath.Join(t.TempDir(), "client.yaml")
				if err := os.WriteFile(file, []byte(client.Replace(tunnelClient)), 0o600); err != nil {
					t.Fatal(err)
				}
				all, events := map[string][]string{}, map[string]map[string]string{}
				// hear keeps what is asked and told until nothing is any more.
				hear := func(name string) {
					var asked []record
					for last := time.Now(); time.Since(last) < 2500*time.Millisecond; time.Sleep(20 * time.Millisecond) {
						for _, r := range server.asked(t) {
							last = time.Now()
							if moduleOf(r) != "observer" && !strings.EqualFold(moduleOf(r), "observe") {
								asked = append(asked, r)
								continue
							}
							for _, event := range eventsIn(t, []record{r}) {
								keep(t, events, event)
							}
						}
					}
					ids := map[string]string{tunnel: "tunnel", tunnelTLS: "tunnel-tls"}
					told := append(lines(t, moduleTalk{}, asked), inOrder(events["service-0"])...)
					// Connections that only look whether somebody listens come at once.
					slices.Sort(told)
					for _, line := range told {
						line = hellos.ReplaceAllString(strings.ReplaceAll(line, addrs[1], "entrypoint"), `$1"…"`)
						line = ownSids.ReplaceAllString(line, `"Gost-Sid":["…"]`)
						all[name] = append(all[name], uuids.ReplaceAllStringFunc(line, func(id string) string {
							if ids[id] == "" {
								ids[id] = "a-node"
							}
							return ids[id]
						}))
					}
				}
				startGateway(t, gostpeer, file)
				hear("served")
				for _, visit := range tunnelVisits {
					all[visit.name] = []string{visit.visit(t, addrs[0], addrs[1])}
					hear(visit.name)
				}
				return all
			}
			var gost map[string][]string
			t.Run("gost", func(t *testing.T) { gost = run(t, gostpeer) })
			t.Run("drawspan", func(t *testing.T) {
				drawspan := run(t, drawspanBinary(t))
				for name := range gost {
					asksAndTells(t, name, drawspan[name], gost[name])
				}
			})
		})
	}
}
