package main

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// cell is what one proxy made of one load, in all rounds.
type cell struct {
	amount, per float64
	waits       []time.Duration
	failed      failures
}

func (c *cell) add(amount, per float64) {
	c.amount += amount
	c.per += per
}

func (c *cell) value() float64 {
	// CPU time comes in ticks; a turn that is too short to have one is not worth more than that.
	return c.amount / max(c.per, tick.Seconds())
}

// results are cells by load and proxy.
type results map[string]map[string]*cell

func (r results) at(load, proxy string) *cell {
	if r[load] == nil {
		r[load] = map[string]*cell{}
	}
	if r[load][proxy] == nil {
		r[load][proxy] = &cell{}
	}
	return r[load][proxy]
}

func (r results) print() {
	fmt.Println("| measure | drawspan | GOST | HAProxy | beside GOST | beside HAProxy |")
	fmt.Println("|---|---|---|---|---|---|")
	for _, row := range []struct{ load, name, format string }{
		{"forward", "connections per CPU-second: TCP forward", "%.0f"},
		{"connect", "HTTP CONNECT", "%.0f"},
		{"grpc", "HTTP CONNECT, gRPC authenticator", "%.0f"},
		{"wasm", "HTTP CONNECT, wasm authenticator (GOST: gRPC)", "%.0f"},
		{"relay-tls", "relay over TLS, both ends", "%.0f"},
		{"mtls", "relay over mtls, both ends", "%.0f"},
		{"bulk", "GB per CPU-second: TCP forward", "%.2f"},
		{"bulk-connect", "HTTP CONNECT", "%.2f"},
		{"bulk-relay-tls", "relay over TLS, both ends", "%.2f"},
		{"bulk-mtls", "relay over mtls, both ends", "%.2f"},
		{"idle-forward", "KiB resident per idle connection: TCP forward", "%.1f"},
		{"idle-grpc", "HTTP CONNECT, gRPC authenticator", "%.1f"},
		{"idle-wasm", "HTTP CONNECT, wasm authenticator (GOST: gRPC)", "%.1f"},
		{"size", "KiB resident before the first connection", "%.0f"},
		{"size-plugins", "MiB resident with a wasm plugin of each of the 13 modules", "%.1f"},
		{"start", "ms until it accepts a connection with those, compiled before", "%.0f"},
	} {
		if r[row.load] == nil {
			continue
		}
		value := func(proxy string) string { return r.value(row.load, proxy, row.format) }
		fmt.Printf("| %s | %s | %s | %s | %s | %s |\n", row.name, value("drawspan"), value("GOST"), value("HAProxy"),
			r.ratio(row.load, "GOST"), r.ratio(row.load, "HAProxy"))
	}
	fmt.Println("\n| until the echo is there, p50 / p99 | drawspan | GOST | HAProxy |")
	fmt.Println("|---|---|---|---|")
	for _, row := range []struct{ load, name string }{
		{"forward", "TCP forward"},
		{"connect", "HTTP CONNECT"},
		{"grpc", "HTTP CONNECT, gRPC authenticator"},
		{"wasm", "HTTP CONNECT, wasm authenticator"},
	} {
		if r[row.load] != nil {
			fmt.Printf("| %s | %s | %s | %s |\n", row.name, r.waits(row.load, "drawspan"), r.waits(row.load, "GOST"), r.waits(row.load, "HAProxy"))
		}
	}
	fmt.Println()
	for _, load := range slices.Sorted(maps.Keys(r)) {
		for _, proxy := range slices.Sorted(maps.Keys(r[load])) {
			if failed := &r[load][proxy].failed; failed.count > 0 {
				fmt.Printf("failed: %d connections of %s, %s, which don't count; the first: %v\n", failed.count, proxy, load, failed.first)
			}
		}
	}
	r.bar("wasm", "GOST", 3, "connections per CPU-second, wasm authenticator beside GOST's gRPC")
	r.bar("bulk", "GOST", 1.5, "bulk beside GOST")
	r.bar("bulk-connect", "GOST", 1.5, "bulk through HTTP CONNECT beside GOST")
	r.bar("relay-tls", "GOST", 1.5, "connections over relay+tls beside GOST")
	r.bar("mtls", "GOST", 1.5, "connections over relay+mtls beside GOST")
	r.bar("bulk-relay-tls", "GOST", 1.5, "bulk over relay+tls beside GOST")
	r.bar("bulk-mtls", "GOST", 1.5, "bulk over relay+mtls beside GOST")
	r.bar("bulk", "HAProxy", 1.2, "bulk beside HAProxy")
	for _, bar := range []struct {
		load, unit string
		most       float64
	}{
		{"idle-forward", "KiB", 8},
		{"idle-grpc", "KiB", 8},
		{"idle-wasm", "KiB", 8},
		{"size-plugins", "MiB", 40},
		{"start", "ms", 100},
	} {
		if value, there := r.of(bar.load, "drawspan"); there {
			fmt.Printf("%s %s: %.1f %s (bar: at most %g)\n", verdict(value <= bar.most), bar.load, value, bar.unit, bar.most)
		}
	}
}

// of is a proxy's value. Where only drawspan has wasm, GOST's gRPC stands beside it.
func (r results) of(load, proxy string) (float64, bool) {
	switch {
	case proxy == "GOST" && load == "wasm":
		load = "grpc"
	case proxy == "GOST" && load == "idle-wasm":
		load = "idle-grpc"
	}
	cell := r[load][proxy]
	if cell == nil {
		return 0, false
	}
	return cell.value(), true
}

func (r results) value(load, proxy, format string) string {
	value, there := r.of(load, proxy)
	if !there {
		return ""
	}
	return fmt.Sprintf(format, value)
}

func (r results) ratio(load, other string) string {
	ours, there := r.of(load, "drawspan")
	theirs, too := r.of(load, other)
	if !there || !too {
		return ""
	}
	return fmt.Sprintf("%.2fx", ours/theirs)
}

func (r results) waits(load, proxy string) string {
	cell := r[load][proxy]
	if cell == nil {
		return ""
	}
	slices.Sort(cell.waits)
	at := func(part float64) time.Duration {
		return cell.waits[int(part*float64(len(cell.waits)-1))].Round(10 * time.Microsecond)
	}
	return fmt.Sprintf("%v / %v", at(0.5), at(0.99))
}

func (r results) bar(load, other string, least float64, what string) {
	ours, there := r.of(load, "drawspan")
	theirs, too := r.of(load, other)
	if there && too {
		fmt.Printf("%s %s: %.2fx (bar: at least %gx)\n", verdict(ours/theirs >= least), what, ours/theirs, least)
	}
}

func verdict(met bool) string {
	if met {
		return "met   "
	}
	return "MISSED"
}
