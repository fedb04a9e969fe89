package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// starts is how often drawspan is started with all its plugins; the first time isn't counted, as it compiles them.
const starts = 6

// plugins measures drawspan with a component of each module: how long until it accepts a connection, and how large it is then.
func plugins(s setting) (start time.Duration, size float64, err error) {
	modules, err := filepath.Glob(filepath.Join(*guests, "*-rust", "plugin.yaml"))
	if err != nil {
		return 0, 0, err
	}
	folder := absolute(filepath.Join(*guests, "authenticator-rust"))
	blocks := fmt.Sprintf("authers:\n- {name: auther-0, plugin: {type: wasm, addr: %q, config: {users: '%s:%s'}}}\n", filepath.Join(folder, "authenticator.wasm"), user, password)
	for _, file := range modules {
		block, err := os.ReadFile(file)
		if err != nil {
			return 0, 0, err
		}
		blocks += strings.ReplaceAll(string(block), "addr: ./", "addr: "+absolute(filepath.Dir(file))+"/")
	}
	if len(modules)+1 != 13 {
		return 0, 0, fmt.Errorf("%d guests in %s, want 13", len(modules)+1, *guests)
	}
	with := kind{
		name:     "drawspan",
		services: []string{"forward"},
		config: func(_ setting, addrs map[string]string) string {
			return fmt.Sprintf(`log: {level: warn}
services:
- {name: forward, addr: %q, listener: {type: tcp}, handler: {type: tcp}, forwarder: {nodes: [{name: origin, addr: %q}]}}
%s`, addrs["forward"], s.origin, blocks)
		},
		command: drawspanKind.command,
	}
	var took []time.Duration
	for range starts {
		before := time.Now()
		p, err := s.start(with)
		if err != nil {
			return 0, 0, err
		}
		took = append(took, time.Since(before))
		size, err = settled(p)
		if err := errors.Join(err, p.stop()); err != nil {
			return 0, 0, err
		}
	}
	took = took[1:]
	slices.Sort(took)
	return took[len(took)/2], size, nil
}
