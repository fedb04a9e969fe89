// Package plugins is a plugin server for all thirteen modules of GOST, over gRPC and HTTP, which writes down everything
// that it is asked.
package plugins

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

var (
	grpcAddr = flag.String("addr", "", "`address` to serve gRPC on; none by default")
	httpAddr = flag.String("http", "", "`address` to serve HTTP on, a path per module: /auther (or /auth), /admission, …; none by default")
	token    = flag.String("token", "", "gRPC callers must present this token")
	user     = flag.String("user", "gost", "the only user name that is right")
	password = flag.String("password", "gost", "and its password")
	node     = flag.String("node", "192.0.2.1:8080", "`address` of the HTTP proxy that is the hop's node")
	quiet    = flag.Bool("quiet", false, "don't print the requests")
	useTLS   = flag.Bool("tls", false, "serve with TLS, by a certificate made at the start unless -cert and -key are given")
	certFile = flag.String("cert", "", "PEM `file` of the certificate; implies -tls")
	keyFile  = flag.String("key", "", "PEM `file` of its key")
)

// Main is the whole program. For each endpoint it prints `listening on ADDR/grpc` or `listening on ADDR/http` to stdout once
// that is true, and then, unless -quiet, one JSON line per request (see record), before it answers.
func Main() {
	flag.Parse()
	config, err := tlsConfig()
	if err != nil {
		log.Fatal(err)
	}

	table := newTable(*user, *password, *node)
	failed := make(chan error)
	if *grpcAddr != "" {
		options := []grpc.ServerOption{grpc.UnaryInterceptor(guard(*token))}
		if config != nil {
			options = append(options, grpc.Creds(credentials.NewTLS(config)))
		}
		server := grpc.NewServer(options...)
		table.register(server)
		listener := listen(*grpcAddr, "grpc")
		go func() { failed <- server.Serve(listener) }()
	}
	if *httpAddr != "" {
		server := &http.Server{Handler: recorded(table.routes()), TLSConfig: config}
		listener := listen(*httpAddr, "http")
		go func() {
			if config != nil {
				failed <- server.ServeTLS(listener, "", "")
			} else {
				failed <- server.Serve(listener)
			}
		}()
	}
	log.Fatal(<-failed)
}

// record is a request as it came in.
type record struct {
	Protocol string `json:"protocol"` // grpc or http
	Method   string `json:"method"`
	Path     string `json:"path"`
	Query    string `json:"query"`
	// The gRPC metadata or HTTP headers.
	Metadata map[string][]string `json:"metadata"`
	// The HTTP body as it is, or all fields of the message as JSON.
	Body string `json:"body"`
}

var stdout sync.Mutex

func write(r record) {
	if *quiet {
		return
	}
	line, err := json.Marshal(r)
	if err != nil {
		log.Fatal(err)
	}
	stdout.Lock()
	defer stdout.Unlock()
	fmt.Fprintf(os.Stdout, "%s\n", line)
}

func listen(addr, protocol string) net.Listener {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening on %s/%s\n", listener.Addr(), protocol)
	return listener
}

// tlsConfig is nil when TLS isn't wanted.
func tlsConfig() (*tls.Config, error) {
	var certificate tls.Certificate
	var err error
	switch {
	case *certFile != "":
		certificate, err = tls.LoadX509KeyPair(*certFile, *keyFile)
	case *useTLS:
		certificate, err = selfSigned()
	default:
		return nil, nil
	}
	return &tls.Config{Certificates: []tls.Certificate{certificate}}, err
}

func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
