package interop

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var namespaces atomic.Int32

// inNamespace is true in a process that has a network of its own, with nothing in it but what the test makes. Elsewhere it
// runs the test in such a process, beside others, as far as that is possible: it needs root, ip and /dev/net/tun.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv("INTEROP_NAMESPACE") != "" {
		return true
	}
	t.Parallel() // most of it is waiting
	namespace := fmt.Sprintf("interop-%d-%d", os.Getpid(), namespaces.Add(1))
	if reason := lacks(namespace); reason != "" {
		// Of what is skipped nothing is heard where all else passes.
		if os.Getenv("CI") == "true" && os.Getenv("INTEROP_WITHOUT_NAMESPACES") == "" {
			t.Fatal(reason + "; INTEROP_WITHOUT_NAMESPACES=1 leaves these tests out")
		}
		t.Skip(reason)
	}
	t.Cleanup(func() { exec.Command("ip", "netns", "del", namespace).Run() })
	ip(t, "-n", namespace, "link", "set", "lo", "up")
	// ip gives it a /sys of its own, which the gateways don't need.
	only := "^" + strings.ReplaceAll(t.Name(), "/", "$/^") + "$"
	command := exec.Command("ip", "netns", "exec", namespace, os.Args[0], "-test.run", only, "-test.v", "-test.timeout", "5m")
	command.Env = append(os.Environ(), "INTEROP_NAMESPACE="+namespace)
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	t.Logf("%s", output)
	return false
}

// lacks says why there can't be such a namespace.
func lacks(namespace string) string {
	if os.Getuid() != 0 {
		return "it needs root"
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		return err.Error()
	}
	if output, err := exec.Command("ip", "netns", "add", namespace).CombinedOutput(); err != nil {
		return fmt.Sprintf("ip netns add: %v %s", err, output)
	}
	return ""
}

func ip(t *testing.T, args ...string) {
	t.Helper()
	if output, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, output)
	}
}

// site is another machine, as far as networks go: a namespace with a wire to ours.
type site struct {
	name string
	addr string // its own
	us   string // ours, as it sees us
}

var sites int

func newSite(t *testing.T) *site {
	t.Helper()
	sites++
	s := &site{
		name: fmt.Sprintf("%s-%d", os.Getenv("INTEROP_NAMESPACE"), sites),
		addr: fmt.Sprintf("10.99.%d.2", sites),
		us:   fmt.Sprintf("10.99.%d.1", sites),
	}
	near, far := fmt.Sprintf("near%d", sites), fmt.Sprintf("far%d", sites)
	ip(t, "netns", "add", s.name)
	t.Cleanup(func() { exec.Command("ip", "netns", "del", s.name).Run() })
	ip(t, "link", "add", near, "type", "veth", "peer", "name", far, "netns", s.name)
	ip(t, "addr", "add", s.us+"/24", "dev", near)
	ip(t, "link", "set", near, "up")
	ip(t, "-n", s.name, "addr", "add", s.addr+"/24", "dev", far)
	ip(t, "-n", s.name, "link", "set", far, "up")
	ip(t, "-n", s.name, "link", "set", "lo", "up")
	return s
}

// start runs a program there until the test ends.
func (s *site) start(t *testing.T, binary string, args ...string) (*said, <-chan struct{}) {
	t.Helper()
	return start(t, nil, "ip", append([]string{"netns", "exec", s.name, binary}, args...)...)
}

// on does something there: what it opens belongs to that machine's network. A nil site is ours.
func on[T any](t *testing.T, s *site, do func() (T, error)) (T, error) {
	t.Helper()
	if s == nil {
		return do()
	}
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome)
	go func() {
		// The thread isn't given back, and so ends with this.
		runtime.LockOSThread()
		var o outcome
		file, err := os.Open("/run/netns/" + s.name)
		if err == nil {
			err = unix.Setns(int(file.Fd()), unix.CLONE_NEWNET)
			file.Close()
		}
		if o.err = err; err == nil {
			o.value, o.err = do()
		}
		done <- o
	}()
	o := <-done
	return o.value, o.err
}

// pings is true if one of so many echo requests is answered, each within half a second.
func pings(t *testing.T, from *site, to string, times int) bool {
	t.Helper()
	network, request, reply := "ip4:icmp", byte(8), byte(0)
	if strings.Contains(to, ":") {
		network, request, reply = "ip6:ipv6-icmp", 128, 129
	}
	buffer := make([]byte, 1500)
	for sequence := range times {
		end := time.Now().Add(500 * time.Millisecond)
		conn, err := on(t, from, func() (net.Conn, error) { return net.Dial(network, to) })
		if err != nil {
			// There is no way there yet.
			time.Sleep(time.Until(end))
			continue
		}
		message := append([]byte{request, 0, 0, 0, 0x77, 0x01, 0, byte(sequence)}, "interop"...)
		sum := checksum(message)
		message[2], message[3] = byte(sum>>8), byte(sum)
		conn.Write(message)
		conn.SetReadDeadline(end)
		answered := false
		for err == nil && !answered {
			var n int
			n, _, err = conn.(*net.IPConn).ReadFrom(buffer)
			answered = err == nil && n >= 8 && buffer[0] == reply && buffer[4] == 0x77
		}
		conn.Close()
		if answered {
			return true
		}
		time.Sleep(time.Until(end))
	}
	return false
}

// reaches fails the test if there is no answer to pings for as long as anything may take.
func reaches(t *testing.T, from *site, to string) {
	t.Helper()
	if !pings(t, from, to, int(2*deadline/time.Second)) {
		t.Fatalf("%s doesn't answer", to)
	}
}

func checksum(bytes []byte) uint16 {
	var sum uint32
	for i, b := range bytes {
		sum += uint32(b) << (8 * (1 - i%2))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
