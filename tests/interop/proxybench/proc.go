package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is USER_HZ, the same on every Linux that Go knows.
const tick = time.Second / 100

// cpuTime is what the process has used so far, user and system.
func cpuTime(p *proxy) (time.Duration, error) {
	file := fmt.Sprintf("/proc/%d/stat", p.process.Pid)
	stat, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("%s ended by itself: %w\n%s", p.kind.name, err, p.said)
	}
	// The second field, in parentheses, may contain anything.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	user, userErr := strconv.ParseInt(fields[11], 10, 64)
	system, systemErr := strconv.ParseInt(fields[12], 10, 64)
	if userErr != nil || systemErr != nil {
		return 0, fmt.Errorf("%s: %q", file, stat)
	}
	return time.Duration(user+system) * tick, nil
}

// resident is the KiB that the process has in memory. Not from `status`, which counts only roughly.
func resident(p *proxy) (float64, error) {
	file := fmt.Sprintf("/proc/%d/smaps_rollup", p.process.Pid)
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", p.kind.name, err)
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); fields[0] == "Rss:" {
			return strconv.ParseFloat(fields[1], 64)
		}
	}
	return 0, fmt.Errorf("%s has no Rss", file)
}

// settled is `resident` when that changes no more.
func settled(p *proxy) (float64, error) {
	last, err := resident(p)
	for range 20 {
		if err != nil {
			return 0, err
		}
		time.Sleep(300 * time.Millisecond)
		before := last
		if last, err = resident(p); last == before {
			break
		}
	}
	return last, err
}
