package interop

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// sniffingConfig has a forwarder and a proxy that look into what they carry; all that is asked and told is a plugin.
const sniffingConfig = `
services:
- name: service-0
  addr: $P0
  bypass: bypass-0
  recorders: [{name: recorder-0, record: recorder.service.handler}]
  handler: {type: tcp, metadata: {sniffing: true, sniffing.timeout: 5s}}
  listener: {type: tcp}
  forwarder: {hop: hop-0}
- name: service-1
  addr: $P1
  bypass: bypass-0
  recorders: [{name: recorder-0, record: recorder.service.handler}]
  handler: {type: http, metadata: {sniffing: true, sniffing.timeout: 5s}}
  listener: {type: tcp}
hops:
- {name: hop-0, plugin: {type: $TYPE, addr: '$HOP'}}
bypasses:
- {name: bypass-0, plugin: {type: $TYPE, addr: '$BYPASS'}}
recorders:
- {name: recorder-0, plugin: {type: $TYPE, addr: '$RECORDER'}}
`

// sniffingTalks are what clients send, and what both gateways ask and tell meanwhile. What only drawspan does, as later
// GOSTs do or as differences.md says, is left out of the comparison by ours.
var sniffingTalks = []struct {
	name, service string
	send          []string
	begins        []string
	asked         []string // the modules, as GOST asks them
	ours          []string // the same, as drawspan does, if that differs
	why           string
}{
	{
		name: "forwarded", service: "$P0",
		send:   []string{get("/path?a=b", "X-Test: yes\r\n")},
		begins: []string{ok},
		asked:  []string{"bypass", "hop", "recorder"},
	},
	{
		name: "forwarded to nobody", service: "$P0",
		send:   []string{request("GET /", "x.direct")},
		begins: []string{"HTTP/1.1 502 "},
		asked:  []string{"bypass", "hop", "recorder"},
	},
	{
		name: "forwarded and refused", service: "$P0",
		send:   []string{request("GET /", "x.blocked")},
		begins: []string{"HTTP/1.1 403 "},
		asked:  []string{"bypass", "recorder"},
	},
	{
		name: "tunnelled", service: "$P1",
		send:   []string{connect("$ORIGIN"), request("GET /1", "a.test"), request("GET /2", "a.test")},
		begins: []string{established, ok, ok},
		asked:  []string{"bypass", "recorder", "recorder"},
		ours:   []string{"bypass", "bypass", "recorder", "recorder"},
		why:    "as later GOSTs: the host in the tunnel is asked about too",
	},
}

// TestSniffing compares what clients see and what modules are asked and told, one by one, with their fields.
func TestSniffing(t *testing.T) {
	t.Parallel()
	origin := startOrigin(t)
	for _, kind := range []string{"grpc", "http"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			server := startPluginserver(t, "-node", origin)
			run := func(t *testing.T, binary string, isOurs bool) map[string]outcome {
				p0, p1 := unusedAddr(t), unusedAddr(t)
				addrs := strings.NewReplacer("$P0", p0, "$P1", p1, "$ORIGIN", origin, "$TYPE", kind,
					"$HOP", server.plugin(kind, "hop"), "$BYPASS", server.plugin(kind, "bypass"),
					"$RECORDER", server.plugin(kind, "recorder"))
				file := filepath.Join(t.TempDir(), "gost.yaml")
				if err := os.WriteFile(file, []byte(addrs.Replace(sniffingConfig)), 0o600); err != nil {
					t.Fatal(err)
				}
				startGateway(t, binary, file, p0, p1)
				outcomes := map[string]outcome{}
				for _, talked := range sniffingTalks {
					settle(t, server)
					answers := talk(t, addrs.Replace(talked.service), talked.send, addrs)
					want := talked.asked
					if isOurs && talked.ours != nil {
						want = talked.ours
					}
					outcomes[talked.name] = outcome{answers, until(t, server, len(want))}
					if got := modules(outcomes[talked.name].Asked); !slices.Equal(got, want) {
						t.Errorf("%s: it asks %q, want %q", talked.name, got, want)
					}
				}
				return outcomes
			}
			gost := run(t, gostpeer, false)
			for _, talked := range sniffingTalks {
				for i, begin := range talked.begins {
					if answers := gost[talked.name].Answers; len(answers) <= i || !strings.HasPrefix(answers[i], begin) {
						t.Errorf("%s: GOST answers %q, want %q", talked.name, answers, talked.begins)
					}
				}
			}
			t.Run("drawspan", func(t *testing.T) {
				drawspan := run(t, drawspanBinary(t), true)
				for _, talked := range sniffingTalks {
					a, b := gost[talked.name], drawspan[talked.name]
					if !slices.Equal(a.Answers, b.Answers) {
						t.Errorf("%s: the client sees\n%s\nwant, as from GOST,\n%s", talked.name, pretty(b.Answers), pretty(a.Answers))
					}
					theirs, ours := told(t, a.Asked), told(t, b.Asked)
					if talked.ours != nil {
						// Its own questions are no part of GOST's.
						ours = slices.DeleteFunc(ours, func(question any) bool {
							return !slices.ContainsFunc(theirs, func(other any) bool { return reflect.DeepEqual(question, other) })
						})
					}
					if !reflect.DeepEqual(theirs, ours) {
						t.Errorf("%s: it tells\n%s\nwant, as GOST,\n%s", talked.name, pretty(ours), pretty(theirs))
					}
				}
			})
		})
	}
}

// settle drops what was told of connections that are over, such as those that only looked whether somebody listens.
func settle(t *testing.T, server *pluginServer) {
	for time.Sleep(300 * time.Millisecond); len(server.asked(t)) > 0; time.Sleep(300 * time.Millisecond) {
	}
}

// until waits for so many questions: records are written when everything else is over.
func until(t *testing.T, server *pluginServer, count int) (all []record) {
	for end := time.Now().Add(deadline); len(all) < count && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		all = append(all, server.asked(t)...)
	}
	return all
}

func modules(asked []record) (names []string) {
	for _, r := range asked {
		name := strings.ToLower(r.Path[strings.LastIndex(r.Path, "/")+1:])
		names = append(names, map[string]string{"select": "hop", "record": "recorder"}[name])
		if last := len(names) - 1; names[last] == "" {
			names[last] = name
		}
	}
	return names
}

// told is what was asked and told, without what differs from run to run; a handler's record as the object that it is.
func told(t *testing.T, asked []record) (all []any) {
	for _, r := range asked {
		var body map[string]any
		if err := json.Unmarshal([]byte(r.Body), &body); err != nil {
			t.Fatalf("%q: %v", r.Body, err)
		}
		if data, ok := body["data"].(string); ok {
			text, err := base64.StdEncoding.DecodeString(data)
			if err != nil {
				t.Fatalf("%q: %v", data, err)
			}
			var object map[string]any
			if err := json.Unmarshal(text, &object); err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			for _, key := range []string{"remote", "local", "client", "src", "sid", "duration", "time"} {
				if object[key] == nil {
					t.Errorf("%s: no %s", text, key)
				}
				object[key] = "…"
			}
			for key, why := range recordsDiffer {
				if why == "" {
					t.Errorf("%s: no reason", key)
				}
				delete(object, key)
			}
			body = map[string]any{"record": object}
		}
		if body["src"] != nil {
			body["src"] = "…"
		}
		if client, ok := body["client"].(string); ok && loopbackPort.MatchString(client) {
			body["client"] = "…"
		}
		all = append(all, map[string]any{"module": r.Path, "body": body})
	}
	// Records are written beside each other: those of two exchanges may arrive in any order.
	slices.SortStableFunc(all, func(a, b any) int { return strings.Compare(recordedURI(a), recordedURI(b)) })
	return all
}

// recordsDiffer are the fields of a record that aren't compared, and why.
var recordsDiffer = map[string]string{
	"err":         "each has its own words",
	"node":        "later GOSTs say it too",
	"inputBytes":  "GOST counts what it has read ahead of a request too, or nothing",
	"outputBytes": "GOST writes heads of its own, of another length",
}

// recordedURI is empty for all but records of HTTP exchanges, which come last.
func recordedURI(told any) string {
	record, _ := told.(map[string]any)["body"].(map[string]any)["record"].(map[string]any)
	http, _ := record["http"].(map[string]any)
	uri, _ := http["uri"].(string)
	return uri
}
