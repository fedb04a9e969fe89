package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const user, password = "alice", "wonder"

// kind is a program that is compared.
type kind struct {
	name     string
	services []string
	// config is the text of its config file.
	config func(setting setting, addrs map[string]string) string
	// command gets the config's file.
	command func(config string) *exec.Cmd
}

func (k kind) serves(service string) bool { return slices.Contains(k.services, service) }

// None of them logs connections.
var (
	drawspanKind = kind{
		name:     "drawspan",
		services: []string{"forward", "connect", "relay-tls", "relay-tls-server", "mtls", "mtls-server", "grpc", "wasm"},
		config:   gostConfig,
		command:  func(config string) *exec.Cmd { return exec.Command(*drawspan, "-C", config) },
	}
	gostKind = kind{
		name:     "GOST",
		services: []string{"forward", "connect", "relay-tls", "relay-tls-server", "mtls", "mtls-server", "grpc"},
		config:   gostConfig,
		command:  func(config string) *exec.Cmd { return exec.Command(*gost, "-C", config) },
	}
	haproxyKind = kind{
		name:     "HAProxy",
		services: []string{"forward"},
		config:   haproxyConfig,
		command:  func(config string) *exec.Cmd { return exec.Command(*haproxy, "-db", "-f", config) },
	}
)

func gostConfig(setting setting, addrs map[string]string) string {
	var text strings.Builder
	fmt.Fprintf(&text, `log: {level: warn}
services:
- {name: forward, addr: %q, listener: {type: tcp}, handler: {type: tcp}, forwarder: {nodes: [{name: origin, addr: %q}]}}
- {name: connect, addr: %q, listener: {type: tcp}, handler: {type: http}}
- {name: grpc, addr: %q, listener: {type: tcp}, handler: {type: http, auther: grpc}}
`, addrs["forward"], setting.origin, addrs["connect"], addrs["grpc"])
	// A client's connections go through two services of the same process: both halves of the protocol count.
	chains := "chains:\n"
	for service, transport := range map[string]string{"relay-tls": "tls", "mtls": "mtls"} {
		fmt.Fprintf(&text, `- {name: %[1]s, addr: %[2]q, listener: {type: tcp}, handler: {type: tcp, chain: %[1]s}, forwarder: {nodes: [{name: origin, addr: %[3]q}]}}
- {name: %[1]s-server, addr: %[4]q, listener: {type: %[5]s}, handler: {type: relay}}
`, service, addrs[service], setting.origin, addrs[service+"-server"], transport)
		chains += fmt.Sprintf("- {name: %s, hops: [{name: hop, nodes: [{name: node, addr: %q, connector: {type: relay}, dialer: {type: %s}}]}]}\n",
			service, addrs[service+"-server"], transport)
	}
	authers := fmt.Sprintf("authers:\n- {name: grpc, plugin: {type: grpc, addr: %q}}\n", setting.plugin)
	if addr := addrs["wasm"]; addr != "" {
		fmt.Fprintf(&text, "- {name: wasm, addr: %q, listener: {type: tcp}, handler: {type: http, auther: wasm}}\n", addr)
		authers += fmt.Sprintf("- {name: wasm, plugin: {type: wasm, addr: %q, config: {users: '%s:%s'}}}\n", absolute(*guest), user, password)
	}
	return text.String() + chains + authers
}

func haproxyConfig(setting setting, addrs map[string]string) string {
	return fmt.Sprintf(`global
    maxconn %d
defaults
    mode tcp
    option splice-request
    option splice-response
    timeout connect 10s
    timeout client 1h
    timeout server 1h
listen forward
    bind %s
    server origin %s
`, *idle+*workers+*streams, addrs["forward"], setting.origin)
}

// setting is what all proxies find around them.
type setting struct {
	folder, origin, plugin string
}

// proxy is a running one.
type proxy struct {
	kind    kind
	addrs   map[string]string
	process *os.Process
	exited  chan error
	said    *bytes.Buffer
}

// start returns when all services accept connections.
func (s setting) start(kind kind) (*proxy, error) {
	addrs := map[string]string{}
	for _, service := range kind.services {
		addr, err := unusedAddr()
		if err != nil {
			return nil, err
		}
		addrs[service] = addr
	}
	config := filepath.Join(s.folder, strings.ToLower(kind.name)+".conf.yaml")
	if err := os.WriteFile(config, []byte(kind.config(s, addrs)), 0o600); err != nil {
		return nil, err
	}
	command := kind.command(config)
	said := &bytes.Buffer{}
	command.Stdout, command.Stderr = said, said
	command.Env = append(os.Environ(), "XDG_CACHE_HOME="+filepath.Join(s.folder, "cache"))
	if err := command.Start(); err != nil {
		return nil, err
	}
	p := &proxy{kind: kind, addrs: addrs, process: command.Process, exited: make(chan error, 1), said: said}
	go func() { p.exited <- command.Wait() }()
	for _, addr := range addrs {
		if err := p.await(addr); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *proxy) await(addr string) error {
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case err := <-p.exited:
			return fmt.Errorf("%s ended: %w\n%s", p.kind.name, err, p.said)
		default:
		}
		if time.Now().After(end) {
			return errors.Join(fmt.Errorf("%s doesn't listen", p.kind.name), p.stop())
		}
	}
}

// stop fails if it had ended before.
func (p *proxy) stop() error {
	if err := p.process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("%s ended by itself: %w\n%s", p.kind.name, err, p.said)
	}
	select {
	case <-p.exited:
	case <-time.After(20 * time.Second):
		p.process.Kill()
		<-p.exited
	}
	return nil
}

type pluginserver struct {
	addr string
	stop func()
}

func startPluginserver() (*pluginserver, error) {
	command := exec.Command(*server, "-addr", "127.0.0.1:0", "-quiet", "-user", user, "-password", password)
	command.Stderr = os.Stderr
	output, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	s := &pluginserver{stop: func() {
		command.Process.Kill()
		command.Wait()
	}}
	line, err := bufio.NewReader(output).ReadString('\n')
	if err == nil {
		_, err = fmt.Sscanf(line, "listening on %s", &s.addr)
	}
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("pluginserver isn't ready: %w", err)
	}
	s.addr = strings.TrimSuffix(s.addr, "/grpc")
	return s, nil
}

func unusedAddr() (string, error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}
