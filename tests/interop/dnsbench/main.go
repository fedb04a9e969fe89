// Dnsbench asks the dns handlers of drawspan and of GOST the same questions, in turns, and prints how many each answered in a
// second of its own CPU time (user and system, of the whole process), and how long that took.
//
// ../dns-bench.sh builds what it needs.
package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

var (
	drawspan = flag.String("drawspan", "", "`file` of drawspan")
	gost     = flag.String("gost", "", "`file` of gostpeer")
	turn     = flag.Duration("turn", 4*time.Second, "how long each load is put on each gateway in each round")
	rounds   = flag.Int("rounds", 3, "how often each gateway has its turns")
	workers  = flag.Int("workers", 16, "questions at a time")
)

// bar is how many times GOST's questions drawspan must answer.
const bar = 1.5

// tick is USER_HZ, the same on every Linux that Go knows.
const tick = time.Second / 100

var loads = []string{"cached", "forwarded"}

type gateway struct {
	name    string
	addrs   map[string]string
	command *exec.Cmd
}

type cell struct {
	answers int
	cpu     time.Duration
	waits   []time.Duration
}

func main() {
	flag.Parse()
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	upstream, err := startUpstream()
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "dns-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	var gateways []*gateway
	for _, program := range []struct{ name, file string }{{"drawspan", *drawspan}, {"GOST", *gost}} {
		g, err := start(program.name, program.file, folder, upstream)
		if err != nil {
			return fmt.Errorf("%s: %w", program.name, err)
		}
		defer g.command.Process.Kill()
		gateways = append(gateways, g)
	}
	cells := map[string]*cell{}
	for range *rounds {
		for _, load := range loads {
			for _, g := range gateways {
				key := load + g.name
				if cells[key] == nil {
					cells[key] = &cell{}
				}
				if err := g.measure(load, cells[key]); err != nil {
					return fmt.Errorf("%s, %s: %w", g.name, load, err)
				}
			}
		}
	}
	fmt.Println("| questions per CPU-second, over UDP | drawspan | GOST | beside GOST |\n|---|---|---|---|")
	var missed error
	for _, load := range loads {
		ours, theirs := cells[load+"drawspan"], cells[load+"GOST"]
		ratio := ours.rate() / theirs.rate()
		fmt.Printf("| %s | %.0f | %.0f | %.2f× |\n", load, ours.rate(), theirs.rate(), ratio)
		if ratio < bar {
			missed = errors.Join(missed, fmt.Errorf("%s: %.2f×, the bar is %.1f×", load, ratio, bar))
		}
	}
	fmt.Println("\n| until the answer is there, p50 / p99 | drawspan | GOST |\n|---|---|---|")
	for _, load := range loads {
		fmt.Printf("| %s | %s | %s |\n", load, cells[load+"drawspan"].percentiles(), cells[load+"GOST"].percentiles())
	}
	return missed
}

func (c *cell) rate() float64 { return float64(c.answers) / max(c.cpu, tick).Seconds() }

func (c *cell) percentiles() string {
	slices.Sort(c.waits)
	at := func(share int) time.Duration { return c.waits[(len(c.waits)-1)*share/100].Round(time.Microsecond) }
	return fmt.Sprintf("%s / %s", at(50), at(99))
}

// start returns when all services answer.
func start(name, file, folder, upstream string) (*gateway, error) {
	g := &gateway{name: name, addrs: map[string]string{}}
	var config strings.Builder
	config.WriteString("log: {level: warn}\nservices:\n")
	for _, load := range loads {
		socket, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		g.addrs[load] = socket.LocalAddr().String()
		socket.Close()
		ttl := map[string]string{"cached": "300s", "forwarded": "-1s"}[load]
		fmt.Fprintf(&config, "- {name: %s, addr: '%s', handler: {type: dns, metadata: {ttl: %s}}, listener: {type: dns, metadata: {backlog: 1024}}, forwarder: {nodes: [{name: n, addr: 'udp://%s'}]}}\n",
			load, g.addrs[load], ttl, upstream)
	}
	path := filepath.Join(folder, strings.ToLower(name)+".yaml")
	if err := os.WriteFile(path, []byte(config.String()), 0o600); err != nil {
		return nil, err
	}
	g.command = exec.Command(file, "-C", path)
	said := &bytes.Buffer{}
	g.command.Stderr = said
	if err := g.command.Start(); err != nil {
		return nil, err
	}
	for _, addr := range g.addrs {
		conn, err := net.Dial("udp4", addr)
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		for end := time.Now().Add(20 * time.Second); !ask(conn, 1, 100*time.Millisecond); {
			if time.Now().After(end) {
				return nil, fmt.Errorf("it doesn't answer\n%s", said)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	return g, nil
}

func (g *gateway) measure(load string, into *cell) error {
	before, err := g.cpuTime()
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	var mutex sync.Mutex
	end := time.Now().Add(*turn)
	for worker := range *workers {
		conn, err := net.Dial("udp4", g.addrs[load])
		if err != nil {
			return err
		}
		all.Go(func() {
			defer conn.Close()
			var waits []time.Duration
			for n := worker; time.Now().Before(end); n++ {
				begin := time.Now()
				if ask(conn, uint16(n%1000), 2*time.Second) {
					waits = append(waits, time.Since(begin))
				}
			}
			mutex.Lock()
			defer mutex.Unlock()
			into.answers += len(waits)
			into.waits = append(into.waits, waits...)
		})
	}
	all.Wait()
	after, err := g.cpuTime()
	into.cpu += after - before
	return err
}

func (g *gateway) cpuTime() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", g.command.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("it ended by itself: %w", err)
	}
	if err := g.command.Process.Signal(syscall.Signal(0)); err != nil {
		return 0, err
	}
	// The second field, in parentheses, may contain anything.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	user, userErr := strconv.ParseInt(fields[11], 10, 64)
	system, systemErr := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * tick, errors.Join(userErr, systemErr)
}

// ask asks for an address of one of a thousand names, and says whether it was told one.
func ask(conn net.Conn, n uint16, patience time.Duration) bool {
	label := fmt.Sprintf("host%03d", n)
	question := append([]byte{0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, byte(len(label))}, label...)
	question = append(question, "\x04test\x00\x00\x01\x00\x01"...)
	binary.BigEndian.PutUint16(question, n)
	if _, err := conn.Write(question); err != nil {
		return false
	}
	conn.SetReadDeadline(time.Now().Add(patience))
	reply := make([]byte, 512)
	for {
		length, err := conn.Read(reply)
		if err != nil {
			return false
		}
		// What comes late is the answer to a question before.
		if length > 12 && binary.BigEndian.Uint16(reply) == n && reply[7] == 1 {
			return true
		}
	}
}

// startUpstream answers every question with an address.
func startUpstream() (string, error) {
	socket, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	go func() {
		buffer := make([]byte, 1500)
		for {
			length, from, err := socket.ReadFrom(buffer)
			if err != nil {
				return
			}
			reply := append([]byte{}, buffer[:length]...)
			reply[2], reply[3], reply[7] = 0x81, 0x80, 1
			reply = append(reply, "\xc0\x0c\x00\x01\x00\x01\x00\x00\x01\x2c\x00\x04\xc0\x00\x02\x01"...)
			socket.WriteTo(reply, from)
		}
	}()
	return socket.LocalAddr().String(), nil
}
