// Authserver is an authenticator plugin over gRPC and HTTP which writes down everything that it is asked.
//
// For each endpoint it prints `listening on ADDR/grpc` or `listening on ADDR/http` to stdout once that is true, and then
// one JSON line per request (see record), before it answers.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/go-gost/plugin/auth/proto"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

var (
	grpcAddr = flag.String("addr", "", "`address` to serve gRPC on; none by default")
	httpAddr = flag.String("http", "", "`address` to serve HTTP on, path /auth; none by default")
	token    = flag.String("token", "", "gRPC callers must present this token")
	user     = flag.String("user", "gost", "the only user name that is right")
	password = flag.String("password", "gost", "and its password")
	useTLS   = flag.Bool("tls", false, "serve with TLS, by a certificate made at the start unless -cert and -key are given")
	certFile = flag.String("cert", "", "PEM `file` of the certificate; implies -tls")
	keyFile  = flag.String("key", "", "PEM `file` of its key")
)

// record is a request as it came in.
type record struct {
	Protocol string `json:"protocol"` // grpc or http
	Method   string `json:"method"`
	Path     string `json:"path"`
	// The gRPC metadata or HTTP headers.
	Metadata map[string][]string `json:"metadata"`
	// The HTTP body as it is, or all fields of the message as JSON.
	Body string `json:"body"`
}

var stdout sync.Mutex

func write(r record) {
	line, err := json.Marshal(r)
	if err != nil {
		log.Fatal(err)
	}
	stdout.Lock()
	defer stdout.Unlock()
	fmt.Fprintf(os.Stdout, "%s\n", line)
}

func accepts(name, secret string) bool { return name == *user && secret == *password }

type grpcServer struct {
	proto.UnimplementedAuthenticatorServer
}

// fields are those of proto.AuthenticateRequest, written out so that none is left away for being empty.
type fields struct {
	Username              string   `json:"username"`
	Password              string   `json:"password"`
	Client                string   `json:"client"`
	Service               string   `json:"service"`
	ClientCN              string   `json:"client_cn"`
	ClientSAN             []string `json:"client_san"`
	ClientCertFingerprint string   `json:"client_cert_fingerprint"`
}

func (grpcServer) Authenticate(ctx context.Context, in *proto.AuthenticateRequest) (*proto.AuthenticateReply, error) {
	body, err := json.Marshal(fields{
		in.GetUsername(), in.GetPassword(), in.GetClient(), in.GetService(),
		in.GetClientCn(), in.GetClientSan(), in.GetClientCertFingerprint(),
	})
	if err != nil {
		return nil, err
	}
	md, _ := metadata.FromIncomingContext(ctx)
	method, _ := grpc.Method(ctx)
	write(record{Protocol: "grpc", Method: "POST", Path: method, Metadata: md, Body: string(body)})

	if *token != "" && (len(md["token"]) != 1 || md["token"][0] != *token) {
		return nil, status.Error(codes.Unauthenticated, "wrong token")
	}
	if !accepts(in.GetUsername(), in.GetPassword()) {
		return &proto.AuthenticateReply{}, nil
	}
	return &proto.AuthenticateReply{Ok: true, Id: in.GetUsername()}, nil
}

// serveHTTP answers /auth. Any other path is written down too, which lets a test mark a point in the log.
func serveHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	write(record{Protocol: "http", Method: r.Method, Path: r.URL.Path, Metadata: r.Header, Body: string(body)})

	if r.URL.Path != "/auth" {
		http.NotFound(w, r)
		return
	}
	var request struct{ Username, Password string }
	if err := json.Unmarshal(body, &request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	reply := struct {
		OK bool   `json:"ok"`
		ID string `json:"id"`
	}{}
	if accepts(request.Username, request.Password) {
		reply.OK, reply.ID = true, request.Username
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(reply)
}

func main() {
	flag.Parse()
	config, err := tlsConfig()
	if err != nil {
		log.Fatal(err)
	}

	failed := make(chan error)
	if *grpcAddr != "" {
		var options []grpc.ServerOption
		if config != nil {
			options = append(options, grpc.Creds(credentials.NewTLS(config)))
		}
		server := grpc.NewServer(options...)
		proto.RegisterAuthenticatorServer(server, grpcServer{})
		listener := listen(*grpcAddr, "grpc")
		go func() { failed <- server.Serve(listener) }()
	}
	if *httpAddr != "" {
		server := &http.Server{Handler: http.HandlerFunc(serveHTTP), TLSConfig: config}
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
