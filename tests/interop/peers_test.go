package interop

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// deadline bounds every wait; nothing here takes long.
const deadline = 20 * time.Second

var pluginserver, gostpeer, newer string

func TestMain(m *testing.M) {
	// Those that are parallel wait more than they compute.
	flag.Set("test.parallel", "8")
	// A process in a namespace of its own has those of the one that started it.
	folder := os.Getenv("INTEROP_BINARIES")
	isBuilt := folder != ""
	if !isBuilt {
		var err error
		if folder, err = os.MkdirTemp("", "interop"); err != nil {
			panic(err)
		}
		os.Setenv("INTEROP_BINARIES", folder)
	}
	pluginserver, gostpeer, newer = filepath.Join(folder, "pluginserver"), filepath.Join(folder, "gostpeer"), filepath.Join(folder, "newer")
	if isBuilt {
		os.Exit(m.Run())
	}
	build := func(args ...string) error {
		command := exec.Command("go", append([]string{"build"}, args...)...)
		command.Stdout, command.Stderr = os.Stdout, os.Stderr
		return command.Run()
	}
	status := 1
	if err := errors.Join(build("-o", folder, "./pluginserver", "./gostpeer"), build("-C", "newer", "-o", newer)); err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		status = m.Run()
	}
	os.RemoveAll(folder)
	os.Exit(status)
}

// drawspanBinary skips the test without a binary, except in CI, where that would hide everything.
func drawspanBinary(t *testing.T) string {
	binary := os.Getenv("DRAWSPAN_BIN")
	switch {
	case binary != "":
		return binary
	case os.Getenv("CI") == "true":
		t.Fatal("DRAWSPAN_BIN must name the drawspan binary")
	default:
		t.Skip("only GOST was tried: DRAWSPAN_BIN doesn't name a drawspan binary")
	}
	return ""
}

// lastPort is below the ports that systems give to outgoing connections and to listeners on port 0, and differs between
// runs that go on at once.
var lastPort atomic.Int32

func init() { lastPort.Store(10_000 + int32(os.Getpid()*61%20_000)) }

// unusedAddr is an address where nothing listens, and which isn't given out again.
func unusedAddr(t *testing.T) string {
	for range 1000 {
		addr := fmt.Sprintf("127.0.0.1:%d", lastPort.Add(1))
		if listener, err := net.Listen("tcp4", addr); err == nil {
			listener.Close()
			return addr
		}
	}
	t.Fatal("no port is free")
	return ""
}

// said is what a program has written so far.
type said struct {
	mutex sync.Mutex
	bytes []byte
}

func (s *said) Write(more []byte) (int, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.bytes = append(s.bytes, more...)
	return len(more), nil
}

func (s *said) String() string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return string(s.bytes)
}

// start runs a program until the test ends. The end of its stderr is shown if the test fails.
func start(t *testing.T, stdout io.Writer, binary string, args ...string) (stderr *said, exited <-chan struct{}) {
	t.Helper()
	stderr = &said{}
	command := exec.Command(binary, args...)
	command.Stdout, command.Stderr = stdout, stderr
	command.WaitDelay = deadline
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		command.Wait()
	}()
	t.Cleanup(func() {
		command.Process.Signal(syscall.SIGTERM)
		select {
		case <-over:
		case <-time.After(deadline):
			t.Errorf("%s ignores SIGTERM", filepath.Base(binary))
			command.Process.Kill()
			<-over
		}
		if t.Failed() {
			text := stderr.String()
			t.Logf("%s said at last:\n%s", filepath.Base(binary), text[max(0, len(text)-4000):])
		}
	})
	return stderr, over
}

// startGateway returns when all of addrs accept connections.
func startGateway(t *testing.T, binary, config string, addrs ...string) *said {
	t.Helper()
	stderr, exited := start(t, nil, binary, "-C", config)
	for _, addr := range addrs {
		eventually(t, filepath.Base(binary)+" to listen", exited, func() bool {
			conn, err := net.Dial("tcp", addr)
			if err == nil {
				conn.Close()
			}
			return err == nil
		})
	}
	return stderr
}

// eventually waits for what a program gives no sign of. The program must not exit meanwhile.
func eventually(t *testing.T, what string, exited <-chan struct{}, is func() bool) {
	t.Helper()
	for end := time.Now().Add(deadline); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
		select {
		case <-exited:
			t.Fatalf("waited in vain for %s: it exited", what)
		default:
		}
	}
}

// record is a line of pluginserver's log.
type record struct {
	Protocol, Method, Path, Query string
	Metadata                      map[string][]string
	Body                          string
}

type pluginServer struct {
	grpc, http string // addresses
	client     *http.Client
	fence      string
	lines      *bufio.Scanner
	// There if it is components that are asked, in a gateway with this log: the guest told of tests/guests writes there what it is asked.
	log  *said
	read int    // so far
	bell string // a service of the gateway that asks nobody about a connection that says nothing
}

func startPluginserver(t *testing.T, args ...string) *pluginServer {
	t.Helper()
	output, input, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { output.Close() })
	output.SetReadDeadline(time.Now().Add(10 * deadline))
	// Room for much, since the server waits while there is none (F_SETPIPE_SZ).
	if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, input.Fd(), 1031, 1<<20); errno != 0 {
		t.Fatal(errno)
	}
	start(t, input, pluginserver, append(args, "-addr", "127.0.0.1:0", "-http", "127.0.0.1:0")...)
	input.Close()

	s := &pluginServer{lines: bufio.NewScanner(output)}
	for _, protocol := range []struct {
		name string
		addr *string
	}{{"grpc", &s.grpc}, {"http", &s.http}} {
		if !s.lines.Scan() {
			t.Fatalf("pluginserver isn't ready: %v", s.lines.Err())
		}
		if _, err := fmt.Sscanf(s.lines.Text(), "listening on %s", protocol.addr); err != nil {
			t.Fatalf("%q: %v", s.lines.Text(), err)
		}
		*protocol.addr = strings.TrimSuffix(*protocol.addr, "/"+protocol.name)
	}

	scheme := "http://"
	if slices.Contains(args, "-tls") {
		scheme = "https://"
	}
	s.fence = scheme + s.http + "/fence"
	s.client = &http.Client{
		Timeout:   deadline,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	}
	t.Cleanup(s.client.CloseIdleConnections)
	return s
}

// plugin is what the `addr` of a `plugin:` block says.
func (s *pluginServer) plugin(protocol, module string) string {
	if protocol == "http" {
		return "http://" + s.http + "/" + module
	}
	return s.grpc
}

// block is a `plugin:` block.
func (s *pluginServer) block(protocol, module string) string {
	return fmt.Sprintf("{type: %s, addr: '%s'}", protocol, s.plugin(protocol, module))
}

// asked are the requests since it was last called. A request of our own marks the end of them, so there is nothing to
// wait for and none is missed.
func (s *pluginServer) asked(t *testing.T) []record {
	t.Helper()
	if s.log != nil {
		return s.logged(t)
	}
	response, err := s.client.Get(s.fence)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	var records []record
	for s.lines.Scan() {
		var r record
		if err := json.Unmarshal(s.lines.Bytes(), &r); err != nil {
			t.Fatalf("%q: %v", s.lines.Text(), err)
		}
		if r.Path == "/fence" {
			return records
		}
		records = append(records, r)
	}
	t.Fatalf("pluginserver is gone: %v", s.lines.Err())
	return nil
}

// logged are the requests that components have written into the log since it was last called.
func (s *pluginServer) logged(t *testing.T) (records []record) {
	t.Helper()
	// A connection of our own marks the end of them.
	conn := dial(t, s.bell)
	conn.Close()
	fence, text := `"client":"`+conn.LocalAddr().String()+`"`, ""
	eventually(t, "the log", nil, func() bool {
		text = s.log.String()[s.read:]
		return strings.Contains(text, fence)
	})
	text = text[:strings.Index(text, fence)]
	text = text[:strings.LastIndex(text, "\n")+1]
	s.read += len(text)
	for line := range strings.Lines(text) {
		var logged struct{ Msg string }
		var r record
		if json.Unmarshal([]byte(line), &logged) == nil && json.Unmarshal([]byte(logged.Msg), &r) == nil && r.Protocol == "wasm" {
			records = append(records, r)
		}
	}
	return records
}

// toldBlock is the `plugin:` block of a component that answers as pluginserver does.
func toldBlock(t *testing.T, node string) string {
	guest, err := filepath.Abs("../guests/prebuilt/told.wasm")
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("{type: wasm, addr: %q, log: 100000/s, config: {node: %q}}", guest, node)
}

// startOrigin answers every request with the head of that request. Its Connection header is left away: whether the gateway
// uses a connection to the origin again is its own affair.
func startOrigin(t *testing.T) string {
	return serveEach(t, "tcp4", "127.0.0.1:0", func(conn net.Conn) {
		conn.SetDeadline(time.Now().Add(deadline))
		for reader := bufio.NewReader(conn); ; {
			head, err := readHead(reader)
			if err != nil {
				return
			}
			head = sortLines(head, "Connection:")
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nX-Origin: yes\r\nContent-Length: %d\r\n\r\n%s", len(head), head)
		}
	})
}

// serveEach serves all connections that come to a listener until the test ends, and returns its address.
func serveEach(t *testing.T, network, addr string, serve func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	acceptEach(t, listener, serve)
	return listener.Addr().String()
}

// acceptEach serves all connections to a listener, which is closed with the test. They are closed when they are served.
func acceptEach(t *testing.T, listener net.Listener, serve func(net.Conn)) {
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
}

// talk is talkFrom 127.0.0.1.
func talk(t *testing.T, addr string, requests []string, addrs *strings.Replacer) []string {
	t.Helper()
	return talkFrom(t, "127.0.0.1", addr, requests, addrs)
}

// talkFrom sends each request when the one before is answered, and returns the answers until the gateway closes.
func talkFrom(t *testing.T, ip, addr string, requests []string, addrs *strings.Replacer) (answers []string) {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	conn, err := dialer.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(deadline))
	reader := bufio.NewReader(conn)
	for _, request := range requests {
		if _, err := io.WriteString(conn, addrs.Replace(request)); err != nil {
			return answers
		}
		answer, err := readAnswer(reader)
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
			return append(answers, "closed")
		} else if err != nil {
			t.Fatalf("no answer to %q: %v", request, err)
		}
		answers = append(answers, answer)
		if !strings.Contains(answer, " 200 ") || strings.Contains(request, "Connection: close") {
			return append(answers, afterwards(conn, reader))
		}
	}
	return answers
}

// afterwards says whether a connection stays open.
func afterwards(conn net.Conn, reader *bufio.Reader) string {
	conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if rest, err := io.ReadAll(reader); len(rest) > 0 {
		return "more: " + string(rest)
	} else if errors.Is(err, os.ErrDeadlineExceeded) {
		return "open"
	}
	return "closed"
}

// readAnswer returns a response with its header lines sorted.
func readAnswer(reader *bufio.Reader) (string, error) {
	head, err := readHead(reader)
	if err != nil {
		return "", err
	}
	length := 0
	for line := range strings.Lines(head) {
		if name, value, _ := strings.Cut(line, ":"); strings.EqualFold(name, "content-length") {
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
				return "", err
			}
		}
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(reader, body); err != nil {
		return "", err
	}
	return sortLines(head) + string(body), nil
}

// sortLines sorts the header lines of a head, because their order means nothing, and drops those with the given names.
func sortLines(head string, drop ...string) string {
	lines := slices.Collect(strings.Lines(strings.TrimSuffix(head, "\r\n")))
	lines = slices.DeleteFunc(lines, func(line string) bool {
		return slices.ContainsFunc(drop, func(name string) bool { return strings.HasPrefix(line, name) })
	})
	slices.Sort(lines[1:])
	return strings.Join(lines, "") + "\r\n"
}

// readHead reads up to and with the empty line.
func readHead(reader *bufio.Reader) (string, error) {
	var head strings.Builder
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			return "", err
		}
		head.WriteString(line)
		if line == "\r\n" {
			return head.String(), nil
		}
	}
}
