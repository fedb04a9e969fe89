// Gostpeer serves a GOST config with the library that GOST itself is made of, so that the tests have the real thing to
// compare with. Only the protocols that the tests use are linked.
//
// Like GOST it logs JSON lines to stderr, among them `"msg":"listening on ADDR/tcp"` for every service.
package main

import (
	"flag"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-gost/x/config"
	"github.com/go-gost/x/config/loader"
	"github.com/go-gost/x/registry"

	_ "github.com/go-gost/x/connector/direct"
	_ "github.com/go-gost/x/connector/http"
	_ "github.com/go-gost/x/dialer/direct"
	_ "github.com/go-gost/x/dialer/tcp"
	_ "github.com/go-gost/x/handler/forward/local"
	_ "github.com/go-gost/x/handler/http"
	_ "github.com/go-gost/x/listener/tcp"
)

func main() {
	file := flag.String("C", "", "the GOST config `file` to serve")
	flag.Parse()

	cfg := &config.Config{}
	if err := cfg.ReadFile(*file); err != nil {
		log.Fatalf("gostpeer: %s: %v", *file, err)
	}
	if err := loader.Load(cfg); err != nil {
		log.Fatalf("gostpeer: %s: %v", *file, err)
	}
	services := registry.ServiceRegistry().GetAll()
	for _, s := range services {
		go s.Serve()
	}

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	<-stop
	for _, s := range services {
		s.Close()
	}
}
