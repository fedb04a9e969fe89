// Bench asks one plugin server the same question by GOST's gRPC client and by drawspan's, and prints how many calls each makes
// in a second of its own CPU time (user and system, of the whole process from start to end), and their ratio.
//
// ../bench.sh builds what it needs.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-gost/core/auth"
	"github.com/go-gost/core/logger"
	"github.com/go-gost/x/config"
	parsing "github.com/go-gost/x/config/parsing/auth"
	xctx "github.com/go-gost/x/ctx"
	xlogger "github.com/go-gost/x/logger"
)

var (
	server   = flag.String("server", "", "`file` of pluginserver")
	drawspan = flag.String("drawspan", "", "`file` of drawspan")
	calls    = flag.Int("calls", 200_000, "calls of each client in each round")
	inFlight = flag.Int("in-flight", 64, "calls at a time")
	rounds   = flag.Int("rounds", 3, "how often each client has its turn")
	gost     = flag.String("gost", "", "be GOST's client of the server at `address`")
)

const (
	user, password, service = "alice", "wonder", "service-0"
	client                  = "192.0.2.7:41806"
	request                 = `{"username":"` + user + `","password":"` + password + `","service":"` + service + `","client_address":"` + client + `"}`
)

func main() {
	flag.Parse()
	var err error
	if *gost != "" {
		err = askAsGOST(*gost)
	} else {
		err = compare()
	}
	if err != nil {
		log.Fatal(err)
	}
}

func askAsGOST(addr string) error {
	logger.SetDefault(xlogger.Nop())
	auther := parsing.ParseAuther(&config.AutherConfig{Plugin: &config.PluginConfig{Type: "grpc", Addr: addr, Token: "gost"}})
	source, err := net.ResolveTCPAddr("tcp", client)
	if err != nil {
		return err
	}
	ctx := xctx.ContextWithSrcAddr(context.Background(), source)
	failed := make([]error, *inFlight)
	var workers sync.WaitGroup
	for worker := range *inFlight {
		workers.Go(func() {
			for call := worker; call < *calls; call += *inFlight {
				if id, ok := auther.Authenticate(ctx, user, password, auth.WithService(service)); !ok || id != user {
					failed[worker] = errors.New("the right user isn't let in")
					return
				}
			}
		})
	}
	workers.Wait()
	return errors.Join(failed...)
}

func compare() error {
	addr, stop, err := startServer()
	if err != nil {
		return err
	}
	defer stop()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	n, c := strconv.Itoa(*calls), strconv.Itoa(*inFlight)
	clients := []struct {
		name string
		file string
		args []string
		cpu  time.Duration
	}{
		{name: "GOST", file: self, args: []string{"-gost", addr, "-calls", n, "-in-flight", c}},
		{name: "drawspan", file: *drawspan, args: []string{"plugin", "bench", "auther", "grpc://" + addr, "-n", n, "-c", c, "--token", "gost", "--json", request}},
	}
	for range *rounds {
		for i := range clients {
			it := &clients[i]
			cpu, err := run(it.file, it.args...)
			if err != nil {
				return fmt.Errorf("%s: %w", it.name, err)
			}
			it.cpu += cpu
		}
	}
	rates := [2]float64{}
	for i, it := range clients {
		total := float64(*rounds * *calls)
		rates[i] = total / it.cpu.Seconds()
		fmt.Printf("%-8s %8.0f calls per CPU-second, %5.1f µs each\n", it.name, rates[i], 1e6/rates[i])
	}
	fmt.Printf("ratio    %8.2f (%d calls of each, %d in flight)\n", rates[1]/rates[0], *rounds**calls, *inFlight)
	return nil
}

// run runs a client to its end and returns the CPU time that it took.
func run(file string, args ...string) (time.Duration, error) {
	command := exec.Command(file, args...)
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		return 0, err
	}
	// The table of `drawspan plugin bench` counts calls without an answer.
	if lines := strings.Split(strings.TrimSpace(string(output)), "\n"); len(lines) > 1 {
		column := slices.Index(strings.Fields(lines[0]), "errors")
		if row := strings.Fields(lines[1]); column < 0 || column >= len(row) || row[column] != "0" {
			return 0, fmt.Errorf("calls failed: %s", lines[1])
		}
	}
	return command.ProcessState.UserTime() + command.ProcessState.SystemTime(), nil
}

func startServer() (addr string, stop func(), err error) {
	command := exec.Command(*server, "-addr", "127.0.0.1:0", "-quiet", "-token", "gost", "-user", user, "-password", password)
	command.Stderr = os.Stderr
	output, err := command.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := command.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		command.Process.Kill()
		command.Wait()
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	if err == nil {
		_, err = fmt.Sscanf(line, "listening on %s", &addr)
	}
	if err != nil {
		stop()
	}
	return strings.TrimSuffix(addr, "/grpc"), stop, err
}
