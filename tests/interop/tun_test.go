package interop

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// config writes a config file.
func configFile(t *testing.T, config string, args ...any) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "gost.yaml")
	if err := os.WriteFile(file, []byte(fmt.Sprintf(config, args...)), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// tunServer is a server for three clients, in front of the second of which is a network.
const tunServer = `
services:
- {name: server, addr: ":8421", handler: {type: tun, auther: users}, listener: {type: tun, metadata: {name: tun-server, net: "192.168.123.1/24,fd00:123::1/64", router: router-0}}}
authers:
- name: users
  auths:
  - {username: 192.168.123.2, password: secret-2}
  - {username: "fd00:123::2", password: secret-2}
  - {username: 192.168.123.3, password: secret-3}
routers:
- {name: router-0, routes: [{dst: 10.77.0.0/24, gateway: 192.168.123.3}]}
`

// tunClient is a client; with its server, its addresses, its passphrase, and what else is known of its interface.
const tunClient = `
services:
- {name: client, addr: ":0", handler: {type: tun, metadata: {keepalive: true, ttl: 1s, passphrase: %s}}, listener: {type: tun, metadata: {name: tun-client, net: "%s"%s}}, forwarder: {nodes: [{name: server, addr: "%s:8421"}]}}
`

// eachPair runs a test with every gateway as server and as client, each in a namespace.
func eachPair(t *testing.T, test func(t *testing.T, server, client string)) {
	t.Parallel()
	for _, server := range bothGateways {
		for _, client := range bothGateways {
			t.Run(client.name+" to "+server.name, func(t *testing.T) {
				if inNamespace(t) {
					test(t, server.binary(t), client.binary(t))
				}
			})
		}
	}
}

func TestTun(t *testing.T) {
	eachPair(t, func(t *testing.T, server, client string) {
		first, second, stranger := newSite(t), newSite(t), newSite(t)
		start(t, nil, server, "-C", configFile(t, tunServer))
		isOurs := server == os.Getenv("DRAWSPAN_BIN")
		if !isOurs {
			// GOST has the system's routes of a router before its interface, which fails.
			eventually(t, "the interface", nil, func() bool {
				return exec.Command("ip", "route", "replace", "10.77.0.0/24", "via", "192.168.123.3").Run() == nil
			})
		}
		startFirst := func() *exec.Cmd {
			return startKillable(t, first, client, "-C", configFile(t, tunClient, "secret-2", "192.168.123.2/24,fd00:123::2/64", ", route: 10.77.0.0/24", first.us))
		}
		killed := startFirst()
		second.start(t, client, "-C", configFile(t, tunClient, "secret-3", "192.168.123.3/24", "", second.us))
		// The network behind the second one.
		ip(t, "-n", second.name, "addr", "add", "10.77.0.1/32", "dev", "lo")

		reaches(t, first, "192.168.123.1")
		reaches(t, first, "fd00:123::1")
		reaches(t, nil, "192.168.123.2")
		reaches(t, first, "192.168.123.3")
		reaches(t, nil, "10.77.0.1")
		reaches(t, first, "10.77.0.1")
		transfer(t, first, nil, "192.168.123.1")
		transfer(t, first, second, "10.77.0.1")

		// With another passphrase nobody is let in.
		stranger.start(t, client, "-C", configFile(t, tunClient, "wrong", "192.168.123.3/24", "", stranger.us))
		if pings(t, stranger, "192.168.123.1", 4) {
			t.Error("the server answers a stranger")
		}
		reaches(t, nil, "192.168.123.3")

		kill(killed)
		if pings(t, nil, "192.168.123.2", 2) {
			t.Error("a dead client answers")
		}
		startFirst()
		reaches(t, nil, "192.168.123.2")
		reaches(t, first, "10.77.0.1")
	})
}

// A client that is silent for three times as long as between its messages has no route any more.
func TestTunForgets(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	server, client := drawspanBinary(t), newSite(t)
	stderr, exited := start(t, nil, server, "-D", "-C", configFile(t, `
services:
- {name: server, addr: ":8421", handler: {type: tun, metadata: {ttl: 1s}}, listener: {type: tun, metadata: {net: 192.168.123.1/24}}}
`))
	killed := startKillable(t, client, server, "-C", configFile(t, tunClient, "any", "192.168.123.2/24", "", client.us))
	reaches(t, nil, "192.168.123.2")
	// Once more, so that it is known to do so.
	eventually(t, "the second keepalive", exited, func() bool { return strings.Contains(stderr.String(), "a client keeps ") })
	kill(killed)
	eventually(t, "the client to be forgotten", exited, func() bool {
		pings(t, nil, "192.168.123.2", 1)
		return strings.Contains(stderr.String(), "has not kept alive, and is forgotten")
	})
}

// The server is gone for a while, and its clients find it again, with and without keepalive.
func TestTunServerComesBack(t *testing.T) {
	eachPair(t, func(t *testing.T, server, client string) {
		first, second := newSite(t), newSite(t)
		startServer := func() *exec.Cmd { return startKillable(t, nil, server, "-C", configFile(t, tunServer)) }
		killed := startServer()
		first.start(t, client, "-C", configFile(t, tunClient, "secret-2", "192.168.123.2/24", "", first.us))
		lazy := strings.Replace(tunClient, "keepalive: true, ", "", 1)
		second.start(t, client, "-C", configFile(t, lazy, "secret-3", "192.168.123.3/24", "", second.us))
		reaches(t, first, "192.168.123.1")
		reaches(t, second, "192.168.123.1")
		kill(killed)
		if pings(t, first, "192.168.123.1", 1) {
			t.Error("a dead server answers")
		}
		startServer()
		reaches(t, second, "192.168.123.1")
		reaches(t, nil, "192.168.123.2")
	})
}

// One client of a server that has no other, whatever the addresses of its packets.
func TestTunP2P(t *testing.T) {
	eachPair(t, func(t *testing.T, server, client string) {
		only := newSite(t)
		start(t, nil, server, "-C", configFile(t, `
services:
- {name: server, addr: ":8421", handler: {type: tun, metadata: {p2p: true}}, listener: {type: tun, metadata: {net: 192.168.123.1/24, route: 10.77.0.0/24}}}
`))
		only.start(t, client, "-C", configFile(t, tunClient, "any", "192.168.123.2/24", "", only.us))
		ip(t, "-n", only.name, "addr", "add", "10.77.0.1/32", "dev", "lo")
		reaches(t, only, "192.168.123.1")
		reaches(t, nil, "10.77.0.1")
	})
}

// asksTheSame compares what plugins are asked by both gateways, over gRPC and HTTP, in a namespace: at least so many questions. GOST
// has no components: drawspan asks them what GOST asks by HTTP.
func asksTheSame(t *testing.T, least int, calls func(t *testing.T, binary, protocol string) []string) {
	t.Parallel()
	for _, protocol := range []string{"grpc", "http", "wasm"} {
		t.Run(protocol, func(t *testing.T) {
			if !inNamespace(t) {
				return
			}
			var asked [][]string
			for i, gateway := range bothGateways {
				kind := protocol
				if i == 0 && kind == "wasm" {
					kind = "http"
				}
				asked = append(asked, calls(t, gateway.binary(t), kind))
			}
			if !slices.Equal(asked[0], asked[1]) {
				t.Errorf("%s asks\n%s\n%s asks\n%s", bothGateways[0].name, strings.Join(asked[0], "\n"), bothGateways[1].name, strings.Join(asked[1], "\n"))
			}
			if len(asked[0]) < least {
				t.Errorf("asked are only %q", asked[0])
			}
		})
	}
}

// The auther and the router of a server are asked the same by both gateways.
func TestTunCalls(t *testing.T) {
	asksTheSame(t, 2, tunCalls)
}

// clientField is what an auther is told of where a client is.
var clientField = regexp.MustCompile(`"client":"[^"]*"`)

// tunCalls are the questions of a server whose client has a network behind it, each once.
func tunCalls(t *testing.T, server, protocol string) (asked []string) {
	t.Run(filepath.Base(server), func(t *testing.T) {
		plugins, client := startPluginserver(t, "-user", "192.168.123.2", "-password", "secret"), newSite(t)
		plugins = serveAsking(t, plugins, server, protocol, `
- {name: server, addr: ":8421", handler: {type: tun, auther: users}, listener: {type: tun, metadata: {name: tun-server, net: 192.168.123.1/24, router: router-0}}}
authers:
- {name: users, plugin: $auther}
routers:
- {name: router-0, plugin: $router}
`)
		client.start(t, gostpeer, "-C", configFile(t, tunClient, "secret", "192.168.123.2/24", "", client.us))
		ip(t, "-n", client.name, "addr", "add", "198.51.100.7/32", "dev", "lo")
		reaches(t, client, "192.168.123.1")
		ip(t, "route", "add", "198.51.100.0/24", "dev", "tun-server")
		reaches(t, nil, "198.51.100.7")
		for _, record := range plugins.asked(t) {
			// Where a gateway says that the client is differs: see docs/differences.md.
			body := clientField.ReplaceAllString(record.Body, `"client":"…"`)
			// Interfaces say hello to multicast addresses, at times of their own.
			if strings.Contains(record.Body+record.Query, "ff02") || strings.Contains(record.Body+record.Query, "fe80") || strings.Contains(record.Body+record.Query, "224.0.0") {
				continue
			}
			asked = append(asked, fmt.Sprintf("%s %s?%s %s", record.Method, record.Path, record.Query, body))
		}
		slices.Sort(asked)
		asked = slices.Compact(asked)
	})
	return asked
}

// serveAsking starts a gateway with these services and objects, in which the names of modules stand for their plugins, and returns who
// knows what those are asked.
func serveAsking(t *testing.T, plugins *pluginServer, server, protocol, config string) *pluginServer {
	t.Helper()
	for _, module := range []string{"auther", "router", "ingress", "sd"} {
		block := toldBlock(t, "")
		if protocol != "wasm" {
			block = plugins.block(protocol, module)
		}
		config = strings.ReplaceAll(config, "$"+module, block)
	}
	const bell = "127.0.0.1:8499"
	services := "services:\n- {name: bell, addr: " + bell + ", handler: {type: http}, listener: {type: tcp}}"
	log := startGateway(t, server, configFile(t, "%s", services+config), bell)
	if protocol == "wasm" {
		return &pluginServer{log: log, bell: bell}
	}
	return plugins
}

// startKillable is a program at a site that can be killed before the test ends; nil is ours.
func startKillable(t *testing.T, s *site, binary string, args ...string) *exec.Cmd {
	t.Helper()
	command := append([]string{binary}, args...)
	if s != nil {
		command = append([]string{"ip", "netns", "exec", s.name}, command...)
	}
	program := exec.Command(command[0], command[1:]...)
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(program) })
	return program
}

func kill(program *exec.Cmd) {
	program.Process.Kill()
	program.Wait()
}

// transfer sends 64 MiB and compares them.
func transfer(t *testing.T, from, to *site, addr string) {
	t.Helper()
	const size = 64 << 20
	listener, err := on(t, to, func() (net.Listener, error) { return net.Listen("tcp", net.JoinHostPort(addr, "0")) })
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	received := make(chan [32]byte, 1)
	go func() {
		defer close(received)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		hash := sha256.New()
		if n, _ := io.Copy(hash, conn); n == size {
			received <- [32]byte(hash.Sum(nil))
		}
	}()
	conn, err := on(t, from, func() (net.Conn, error) { return net.Dial("tcp", listener.Addr().String()) })
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.New()
	source := io.LimitReader(rand.NewChaCha8([32]byte{1}), size)
	if _, err := io.Copy(io.MultiWriter(conn, hash), source); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if sum, ok := <-received; !ok || sum != [32]byte(hash.Sum(nil)) {
		t.Errorf("what was sent to %s isn't what came", addr)
	}
}
