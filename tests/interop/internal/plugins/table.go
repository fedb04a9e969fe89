package plugins

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/netip"
	"strings"
	"sync"

	admission "github.com/go-gost/plugin/admission/proto"
	auther "github.com/go-gost/plugin/auth/proto"
	bypass "github.com/go-gost/plugin/bypass/proto"
	hop "github.com/go-gost/plugin/hop/proto"
	hosts "github.com/go-gost/plugin/hosts/proto"
	ingress "github.com/go-gost/plugin/ingress/proto"
	limiter "github.com/go-gost/plugin/limiter/traffic/proto"
	observer "github.com/go-gost/plugin/observer/proto"
	recorder "github.com/go-gost/plugin/recorder/proto"
	resolver "github.com/go-gost/plugin/resolver/proto"
	rewriter "github.com/go-gost/plugin/rewriter/proto"
	router "github.com/go-gost/plugin/router/proto"
	sd "github.com/go-gost/plugin/sd/proto"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// table gives the answers, the same over gRPC and HTTP:
//
//	auther     lets in the one user with the one password (flags), and "guest" without one; ids are names; "broken" gets an error
//	admission  denies 192.0.2.66 and 127.0.0.66
//	bypass     matches hosts that end in .blocked, and 127.0.0.9
//	hop        one HTTP proxy (flag); no node for hosts that end in .direct
//	limiter    conn: 1 MiB/s in, 256 KiB/s out; service: no limit; client: no limit in (said by -1), 500000 B/s out
//	hosts      mapped.test is 127.0.0.1 and ::1
//	resolver   resolved.test is 127.0.0.1 and ::1, an address is itself; HTTP says ok only then
//	ingress    keeps what is set, without ports; from the start, public.test has the endpoint below
//	router     192.0.2.0/24 goes to gateway-0, 198.51.100.0/24 to 192.168.123.2 and 203.0.113.0/24 to gateway-1
//	sd         keeps what is registered
//	recorder   declines the data "refused"
//	observer   declines events of the service "refused"
//	rewriter   replaces "old" by "new", makes "gone" empty and leaves anything else
type table struct {
	user, password, node string

	mutex    sync.Mutex
	rules    map[string]string
	services []*sd.Service

	auther.UnimplementedAuthenticatorServer
	admission.UnimplementedAdmissionServer
	bypass.UnimplementedBypassServer
	hop.UnimplementedHopServer
	limiter.UnimplementedLimiterServer
	hosts.UnimplementedHostMapperServer
	resolver.UnimplementedResolverServer
	ingress.UnimplementedIngressServer
	router.UnimplementedRouterServer
	sd.UnimplementedSDServer
	recorder.UnimplementedRecorderServer
	observer.UnimplementedObserverServer
	rewriter.UnimplementedRewriterServer
}

const endpoint = "4d21094e-b74c-4916-86c1-d9fa36ea677b"

func newTable(user, password, node string) *table {
	return &table{user: user, password: password, node: node, rules: map[string]string{"public.test": endpoint}}
}

func (t *table) Authenticate(_ context.Context, in *auther.AuthenticateRequest) (*auther.AuthenticateReply, error) {
	if in.Username == "broken" {
		return nil, status.Error(codes.Unavailable, "the users are out of reach")
	}
	isGuest := in.Username == "guest" && in.Password == ""
	if !isGuest && (in.Username != t.user || in.Password != t.password) {
		return &auther.AuthenticateReply{}, nil
	}
	return &auther.AuthenticateReply{Ok: true, Id: in.Username}, nil
}

func (t *table) Admit(_ context.Context, in *admission.AdmissionRequest) (*admission.AdmissionReply, error) {
	ip := hostOf(in.Addr)
	return &admission.AdmissionReply{Ok: ip != "192.0.2.66" && ip != "127.0.0.66"}, nil
}

func (t *table) Bypass(_ context.Context, in *bypass.BypassRequest) (*bypass.BypassReply, error) {
	return &bypass.BypassReply{Ok: strings.HasSuffix(hostOf(in.Addr), ".blocked") || hostOf(in.Addr) == "127.0.0.9"}, nil
}

func (t *table) Select(_ context.Context, in *hop.SelectRequest) (*hop.SelectReply, error) {
	if strings.HasSuffix(hostOf(in.Host), ".direct") {
		return &hop.SelectReply{}, nil
	}
	type kind struct {
		Type string `json:"type"`
	}
	node, err := json.Marshal(struct {
		Name      string `json:"name"`
		Addr      string `json:"addr"`
		Connector kind   `json:"connector"`
		Dialer    kind   `json:"dialer"`
	}{"node-0", t.node, kind{"http"}, kind{"tcp"}})
	return &hop.SelectReply{Node: node}, err
}

func (t *table) Limit(_ context.Context, in *limiter.LimitRequest) (*limiter.LimitReply, error) {
	switch in.Scope {
	case "conn":
		return &limiter.LimitReply{In: 1 << 20, Out: 256 << 10}, nil
	case "client":
		return &limiter.LimitReply{In: -1, Out: 500_000}, nil
	}
	return &limiter.LimitReply{}, nil
}

func (t *table) Lookup(_ context.Context, in *hosts.LookupRequest) (*hosts.LookupReply, error) {
	ips := loopback(in.Host == "mapped.test", in.Network)
	return &hosts.LookupReply{Ips: ips, Ok: ips != nil}, nil
}

func (t *table) Resolve(_ context.Context, in *resolver.ResolveRequest) (*resolver.ResolveReply, error) {
	ips := loopback(in.Host == "resolved.test", in.Network)
	if net.ParseIP(in.Host) != nil {
		ips = []string{in.Host}
	}
	return &resolver.ResolveReply{Ips: ips, Ok: ips != nil}, nil
}

func (t *table) GetRule(_ context.Context, in *ingress.GetRuleRequest) (*ingress.GetRuleReply, error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return &ingress.GetRuleReply{Endpoint: t.rules[hostOf(in.Host)]}, nil
}

func (t *table) SetRule(_ context.Context, in *ingress.SetRuleRequest) (*ingress.SetRuleReply, error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.rules[hostOf(in.Host)] = in.Endpoint
	return &ingress.SetRuleReply{Ok: true}, nil
}

func (t *table) GetRoute(_ context.Context, in *router.GetRouteRequest) (*router.GetRouteReply, error) {
	ip, err := netip.ParseAddr(in.Dst)
	for network, gateway := range routes {
		if err == nil && network.Contains(ip) {
			return &router.GetRouteReply{Dst: network.String(), Gateway: gateway}, nil
		}
	}
	return &router.GetRouteReply{}, nil
}

var routes = map[netip.Prefix]string{
	netip.MustParsePrefix("192.0.2.0/24"):    "gateway-0",
	netip.MustParsePrefix("198.51.100.0/24"): "192.168.123.2",
	netip.MustParsePrefix("203.0.113.0/24"):  "gateway-1",
}

func (t *table) Register(_ context.Context, in *sd.RegisterRequest) (*sd.RegisterReply, error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.forget(in.Service)
	t.services = append(t.services, in.Service)
	return &sd.RegisterReply{Ok: true}, nil
}

func (t *table) Renew(context.Context, *sd.RenewRequest) (*sd.RenewReply, error) {
	return &sd.RenewReply{Ok: true}, nil
}

func (t *table) Deregister(_ context.Context, in *sd.DeregisterRequest) (*sd.DeregisterReply, error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return &sd.DeregisterReply{Ok: t.forget(in.Service)}, nil
}

func (t *table) Get(_ context.Context, in *sd.GetServiceRequest) (*sd.GetServiceReply, error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	reply := &sd.GetServiceReply{}
	for _, service := range t.services {
		if service.Name == in.Name {
			reply.Services = append(reply.Services, service)
		}
	}
	return reply, nil
}

// forget says whether there was such a service.
func (t *table) forget(service *sd.Service) bool {
	for i, s := range t.services {
		if s.GetId() == service.GetId() && s.GetName() == service.GetName() && s.GetNode() == service.GetNode() {
			t.services = append(t.services[:i], t.services[i+1:]...)
			return true
		}
	}
	return false
}

func (t *table) Record(_ context.Context, in *recorder.RecordRequest) (*recorder.RecordReply, error) {
	return &recorder.RecordReply{Ok: string(in.Data) != "refused"}, nil
}

func (t *table) Observe(_ context.Context, in *observer.ObserveRequest) (*observer.ObserveReply, error) {
	for _, event := range in.Events {
		if event.Service == "refused" {
			return &observer.ObserveReply{}, nil
		}
	}
	return &observer.ObserveReply{Ok: true}, nil
}

func (t *table) Rewrite(_ context.Context, in *rewriter.RewriteRequest) (*rewriter.RewriteReply, error) {
	switch {
	case string(in.Data) == "gone":
		return &rewriter.RewriteReply{Ok: true, Data: []byte{}}, nil
	case bytes.Contains(in.Data, []byte("old")):
		return &rewriter.RewriteReply{Ok: true, Data: bytes.ReplaceAll(in.Data, []byte("old"), []byte("new"))}, nil
	}
	return &rewriter.RewriteReply{}, nil
}

// hostOf takes the port away, if there is one.
func hostOf(addr string) string {
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return addr
}

func loopback(known bool, network string) []string {
	switch {
	case !known:
		return nil
	case network == "ip4":
		return []string{"127.0.0.1"}
	case network == "ip6":
		return []string{"::1"}
	}
	return []string{"127.0.0.1", "::1"}
}
