// Proxybench puts the same load on drawspan, on GOST and on HAProxy (`mode tcp`), in turns, and prints what each made of a second
// of its own CPU time (user and system, of the whole process), what its connections waited, and what they took in memory.
//
// ../proxy-bench.sh builds what it needs.
package main

import (
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

var (
	drawspan = flag.String("drawspan", "", "`file` of drawspan")
	gost     = flag.String("gost", "", "`file` of gostpeer")
	server   = flag.String("server", "", "`file` of pluginserver")
	guest    = flag.String("guest", "", "`file` of the wasm authenticator")
	guests   = flag.String("guests", "", "`folder` of the guests of which one of each module is loaded")
	haproxy  = flag.String("haproxy", "/usr/sbin/haproxy", "`file` of HAProxy; left out if it isn't there")
	turn     = flag.Duration("turn", 4*time.Second, "how long each load is put on each proxy in each round")
	rounds   = flag.Int("rounds", 3, "how often each proxy has its turns")
	workers  = flag.Int("workers", 16, "connections at a time, one after the other in each")
	streams  = flag.Int("streams", 4, "bulk transfers at a time")
	idle     = flag.Int("idle", 2000, "idle connections whose memory is measured")
	only     = flag.String("only", "", "measure only the load of that `name`: forward, connect, grpc, wasm, relay-tls, mtls, bulk, bulk-connect, bulk-relay-tls, bulk-mtls, idle or plugins")
)

func main() {
	flag.Parse()
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	folder, err := os.MkdirTemp("", "proxy-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	origin, err := startOrigin()
	if err != nil {
		return err
	}
	plugin, err := startPluginserver()
	if err != nil {
		return err
	}
	defer plugin.stop()
	kinds := []kind{drawspanKind, gostKind}
	if _, err := exec.LookPath(*haproxy); err == nil {
		kinds = append(kinds, haproxyKind)
	} else {
		fmt.Printf("without HAProxy: there is no %s (apt-get install haproxy)\n\n", *haproxy)
	}
	setting := setting{folder: folder, origin: origin, plugin: plugin.addr}

	measured := results{}
	if wanted("idle") {
		if err := measureIdle(setting, kinds, measured); err != nil {
			return err
		}
	}
	if wanted("plugins") {
		start, size, err := plugins(setting)
		if err != nil {
			return fmt.Errorf("drawspan with all plugins: %w", err)
		}
		measured.at("start", "drawspan").add(float64(start.Microseconds())/1000, 1)
		measured.at("size-plugins", "drawspan").add(size/1024, 1)
	}
	if err := measureLoads(setting, kinds, measured); err != nil {
		return err
	}
	measured.print()
	return nil
}

func wanted(load string) bool { return *only == "" || *only == load }

// measureIdle starts each proxy anew for each kind of connection, so that none lives in what another left behind.
func measureIdle(setting setting, kinds []kind, measured results) error {
	for _, kind := range kinds {
		for _, service := range kind.services {
			if service != "forward" && service != "grpc" && service != "wasm" {
				continue
			}
			proxy, err := setting.start(kind)
			if err != nil {
				return err
			}
			size, each, err := idleMemory(proxy, service, setting.origin)
			err = errors.Join(err, proxy.stop())
			if err != nil {
				return fmt.Errorf("%s, %s, idle: %w", kind.name, service, err)
			}
			measured.at("idle-"+service, kind.name).add(each, 1)
			if service == "forward" {
				measured.at("size", kind.name).add(size, 1)
			}
		}
	}
	return nil
}

func measureLoads(setting setting, kinds []kind, measured results) error {
	var proxies []*proxy
	for _, kind := range kinds {
		proxy, err := setting.start(kind)
		if err != nil {
			return err
		}
		defer proxy.stop()
		proxies = append(proxies, proxy)
	}
	for range *rounds {
		for _, service := range []string{"forward", "connect", "grpc", "wasm", "relay-tls", "mtls"} {
			for _, proxy := range proxies {
				if !proxy.kind.serves(service) || !wanted(service) {
					continue
				}
				cell := measured.at(service, proxy.kind.name)
				waits, cpu, err := connections(proxy, service, setting.origin, &cell.failed)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", proxy.kind.name, service, err)
				}
				cell.add(float64(len(waits)), cpu.Seconds())
				cell.waits = append(cell.waits, waits...)
			}
		}
		for _, service := range []string{"forward", "connect", "relay-tls", "mtls"} {
			load := "bulk-" + service
			if service == "forward" {
				load = "bulk"
			}
			for _, proxy := range proxies {
				if !proxy.kind.serves(service) || !wanted(load) {
					continue
				}
				cell := measured.at(load, proxy.kind.name)
				bytes, cpu, err := bulk(proxy, service, setting.origin, &cell.failed)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", proxy.kind.name, load, err)
				}
				cell.add(float64(bytes)/1e9, cpu.Seconds())
			}
		}
	}
	return nil
}

func absolute(file string) string {
	path, err := filepath.Abs(file)
	if err != nil {
		return file
	}
	return path
}
