package interop

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// observed are moduleServices that tell an observer their states and counters, each a second.
var observed = strings.NewReplacer(
	"$SERVICE", "$SERVICE, observer: m, metadata: {enableStats: true, observer.period: 1s}",
	"metadata: {proxyProtocol: 1}", "observer: m, metadata: {enableStats: true, observer.period: 1s, proxyProtocol: 1}",
).Replace(moduleHandlers.ReplaceAllString(moduleHandlersWithMetadata.ReplaceAllString(moduleServices,
	"$$HANDLER, observer: m${1}metadata: {observer.period: 1s, "), "$$HANDLER, observer: m$1, metadata: {observer.period: 1s}}"))

var (
	moduleHandlersWithMetadata = regexp.MustCompile(`\$HANDLER(, [^{}]*)metadata: {`)
	moduleHandlers             = regexp.MustCompile(`\$HANDLER(, chain: [^{},]*)?}`)
)

// observersDiffer are the differences in what observers are told, with their reasons. There are no others.
var observersDiffer = []struct {
	kind     string         // of event
	about    *regexp.Regexp // a service, of handlers with its client
	counters []string       // those that aren't compared; none: whether there is an event
	why      string
}{
	{"handler", regexp.MustCompile(``), []string{"totalErrs"}, "GOST doesn't count a client's errors"},
	{"service", regexp.MustCompile(`^(connect|auto, http|PROXY|socks5|relay), (wrong password|no user)$|^(connect|get|relay), bypass$`), []string{"totalErrs"},
		"a refusal is an answer; to some of GOST's handlers some are errors"},
	{"service", regexp.MustCompile(`^socks5 associate`), []string{"inputBytes", "outputBytes"}, "GOST counts datagrams beside a connection for the client only"},
	{"handler", regexp.MustCompile(`^socks5 datagrams of `), []string{"currentConns", "inputBytes", "outputBytes", "totalConns"},
		"GOST counts the connection three times and its bytes twice, and it never ends"},
	{"handler", regexp.MustCompile(`^http datagrams of `), nil, "GOST doesn't count them for the client"},
	{"service", regexp.MustCompile(`^socks5 bind of many$`), []string{"outputBytes", "totalErrs"}, "GOST counts heads of frames too, and an error at every end"},
	{"handler", regexp.MustCompile(`^socks5 bind of many of `), []string{"outputBytes"}, "as the service"},
	{"service", regexp.MustCompile(`^socks5 over tls$`), []string{"outputBytes"}, "certificates and tickets have other lengths"},
	{"service", regexp.MustCompile(`^(file|metrics)`), []string{"outputBytes"}, "pages have other headers; of metrics GOST has none"},
	{"service", regexp.MustCompile(`^service-0$`), []string{"inputBytes", "outputBytes", "totalErrs"},
		"heads of requests have another length, and what comes is in more frames or fewer; to GOST a connection that says nothing is an error"},
	{"handler", regexp.MustCompile(`^service-0 of `), []string{"outputBytes"}, "drawspan counts for who serves a tunnel what visitors say, without what it adds"},
	{"handler", regexp.MustCompile(`^service-0 of ` + tunnel), []string{"inputBytes"}, "and what they hear: of HTTP responses without headers that are taken off"},
	{"service", regexp.MustCompile(`^udp`), []string{"totalConns"}, "GOST doesn't count UDP sessions"},
	{"service", regexp.MustCompile(`^udp, admission$`), []string{"inputBytes"}, "what is denied isn't counted"},
}

// TestModuleObservers compares what observers are told of services and of their clients, components too: each talk has a service of
// its own.
func TestModuleObservers(t *testing.T) {
	t.Parallel()
	head, rest, _ := strings.Cut(observed, "- {name: node,")
	var config strings.Builder
	config.WriteString("services:\n")
	var names []string
	for i, talk := range moduleTalks {
		names = append(names, fmt.Sprintf("S%03d", i))
		for line := range strings.Lines(head) {
			if _, service, is := strings.Cut(line, ", addr: $"+talk.service+", "); is {
				fmt.Fprintf(&config, "- {name: '%s', addr: $%s, %s", talk.name, names[i], service)
			}
		}
	}
	config.WriteString("- {name: node," + rest)
	for _, kind := range []string{"grpc", "http"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			world, server := startModuleWorld(t, kind)
			run := func(t *testing.T, world moduleWorld, binary string, isOurs, isWasm bool) map[string]map[string]string {
				settle(t, server)
				addrs, values, log := world.serve(t, binary, config.String(), names)
				server := server
				if isWasm {
					server = &pluginServer{log: log, bell: world.node}
				}
				all := map[string]map[string]string{}
				hear := func() (events []map[string]any) {
					events = eventsIn(t, server.asked(t))
					for _, event := range events {
						keep(t, all, event)
					}
					return events
				}
				for i, talk := range moduleTalks {
					talked(t, talk, addrs[names[i]], values, isOurs)
					hear()
				}
				// What changes is told within a second.
				for last, end := time.Now(), time.Now().Add(deadline); time.Since(last) < 2500*time.Millisecond; time.Sleep(20 * time.Millisecond) {
					if events := hear(); len(events) > 0 {
						if last = time.Now(); last.After(end) {
							t.Fatalf("it tells and tells, at last %v", events)
						}
					}
				}
				return all
			}
			var gost map[string]map[string]string
			t.Run("gost", func(t *testing.T) { gost = run(t, world, gostpeer, false, false) })
			tells := func(t *testing.T, drawspan map[string]map[string]string) {
				for _, talk := range moduleTalks {
					asksAndTells(t, talk.name, inOrder(drawspan[talk.name]), inOrder(gost[talk.name]))
				}
			}
			t.Run("drawspan", func(t *testing.T) { tells(t, run(t, world, drawspanBinary(t), true, false)) })
			if kind == "http" {
				t.Run("wasm", func(t *testing.T) { tells(t, run(t, world.withGuests(t), drawspanBinary(t), true, true)) })
			}
		})
	}
}

// inOrder are the events that were told.
func inOrder(told map[string]string) (all []string) {
	for _, key := range slices.Sorted(maps.Keys(told)) {
		all = append(all, key+told[key])
	}
	return all
}

// eventsIn are the events that observers are told.
func eventsIn(t *testing.T, asked []record) (all []map[string]any) {
	t.Helper()
	for _, r := range asked {
		var body struct{ Events []map[string]any }
		if err := json.Unmarshal([]byte(r.Body), &body); err != nil {
			t.Fatalf("%q: %v", r.Body, err)
		}
		all = append(all, body.Events...)
	}
	return all
}

// keep adds an event to what was told of its service: of states all, of counters the last, which are sums.
func keep(t *testing.T, told map[string]map[string]string, event map[string]any) {
	t.Helper()
	service, _ := event["service"].(string)
	delete(event, "service")
	if told[service] == nil {
		told[service] = map[string]string{}
	}
	key := fmt.Sprintf("%v %q: ", event["kind"], event["client"])
	if event["stats"] == nil {
		key = fmt.Sprintf("%d. ", len(told[service])+1)
	}
	stats, _ := event["stats"].(map[string]any)
	about := service
	if client, _ := event["client"].(string); client != "" {
		about += " of " + client
	}
	for _, differ := range observersDiffer {
		if event["kind"] != differ.kind || stats == nil || !differ.about.MatchString(about) {
			continue
		}
		if differ.counters == nil {
			return
		}
		for _, counter := range differ.counters {
			delete(stats, counter)
		}
	}
	text, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	told[service][key] = string(text)
}
