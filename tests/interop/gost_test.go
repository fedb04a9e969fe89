package interop

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"testing"

	"github.com/go-gost/core/admission"
	"github.com/go-gost/core/auth"
	"github.com/go-gost/core/bypass"
	"github.com/go-gost/core/hop"
	"github.com/go-gost/core/hosts"
	"github.com/go-gost/core/ingress"
	"github.com/go-gost/core/limiter"
	"github.com/go-gost/core/limiter/traffic"
	"github.com/go-gost/core/logger"
	"github.com/go-gost/core/observer"
	"github.com/go-gost/core/recorder"
	"github.com/go-gost/core/resolver"
	"github.com/go-gost/core/router"
	"github.com/go-gost/core/sd"
	"github.com/go-gost/x/config"
	parse_admission "github.com/go-gost/x/config/parsing/admission"
	parse_auther "github.com/go-gost/x/config/parsing/auth"
	parse_bypass "github.com/go-gost/x/config/parsing/bypass"
	parse_hop "github.com/go-gost/x/config/parsing/hop"
	parse_hosts "github.com/go-gost/x/config/parsing/hosts"
	parse_ingress "github.com/go-gost/x/config/parsing/ingress"
	parse_limiter "github.com/go-gost/x/config/parsing/limiter"
	parse_observer "github.com/go-gost/x/config/parsing/observer"
	parse_recorder "github.com/go-gost/x/config/parsing/recorder"
	parse_resolver "github.com/go-gost/x/config/parsing/resolver"
	parse_router "github.com/go-gost/x/config/parsing/router"
	parse_sd "github.com/go-gost/x/config/parsing/sd"
	_ "github.com/go-gost/x/connector/http"
	xctx "github.com/go-gost/x/ctx"
	_ "github.com/go-gost/x/dialer/tcp"
	xlogger "github.com/go-gost/x/logger"
)

// gostPlugins are GOST's own clients of plugins, as it makes them from a config. Their rewriter is younger than stable GOST.
type gostPlugins struct {
	auther    auth.Authenticator
	admission admission.Admission
	bypass    bypass.Bypass
	hop       hop.Hop
	limiter   traffic.TrafficLimiter
	hosts     hosts.HostMapper
	resolver  resolver.Resolver
	ingress   ingress.Ingress
	router    router.Router
	sd        sd.SD
	recorder  recorder.Recorder
	observer  observer.Observer
}

// newGostPlugins asks at the address that addr gives for a module.
func newGostPlugins(t *testing.T, protocol string, addr func(module string) string) (g gostPlugins) {
	logger.SetDefault(xlogger.Nop())
	plugin := func(module string) *config.PluginConfig {
		return &config.PluginConfig{Type: protocol, Addr: addr(module), Token: "gost"}
	}
	var err error
	g.auther = parse_auther.ParseAuther(&config.AutherConfig{Plugin: plugin("auther")})
	g.admission = parse_admission.ParseAdmission(&config.AdmissionConfig{Plugin: plugin("admission")})
	g.bypass = parse_bypass.ParseBypass(&config.BypassConfig{Plugin: plugin("bypass")})
	if g.hop, err = parse_hop.ParseHop(&config.HopConfig{Plugin: plugin("hop")}, xlogger.Nop()); err != nil {
		t.Fatal(err)
	}
	g.limiter = parse_limiter.ParseTrafficLimiter(&config.LimiterConfig{Plugin: plugin("limiter")})
	g.hosts = parse_hosts.ParseHostMapper(&config.HostsConfig{Plugin: plugin("hosts")})
	if g.resolver, err = parse_resolver.ParseResolver(&config.ResolverConfig{Plugin: plugin("resolver")}); err != nil {
		t.Fatal(err)
	}
	g.ingress = parse_ingress.ParseIngress(&config.IngressConfig{Plugin: plugin("ingress")})
	g.router = parse_router.ParseRouter(&config.RouterConfig{Plugin: plugin("router")})
	g.sd = parse_sd.ParseSD(&config.SDConfig{Plugin: plugin("sd")})
	g.recorder = parse_recorder.ParseRecorder(&config.RecorderConfig{Plugin: plugin("recorder")})
	g.observer = parse_observer.ParseObserver(&config.ObserverConfig{Plugin: plugin("observer")})
	return g
}

// What GOST hands on beside a question's arguments.
var (
	nobody = context.Background()
	alice  = xctx.ContextWithSrcAddr(xctx.ContextWithClientID(nobody, "alice"),
		&net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 41806})
)

// From here on: GOST's answers in the form of the WIT replies.

type object = map[string]any

// done is the reply of calls that only succeed or fail.
func done(err error) any {
	if err != nil {
		return err
	}
	return nil
}

func (g gostPlugins) authenticate(ctx context.Context, user, password string) any {
	if id, ok := g.auther.Authenticate(ctx, user, password, auth.WithService("service-0")); ok {
		return object{"client_id": id}
	}
	return nil
}

func (g gostPlugins) admit(addr string, options ...admission.Option) any {
	if g.admission.Admit(nobody, addr, options...) {
		return "Admitted"
	}
	return "Denied"
}

func (g gostPlugins) contains(ctx context.Context, addr string, options ...bypass.Option) any {
	if g.bypass.Contains(ctx, "tcp", addr, options...) {
		return "Matched"
	}
	return "Unmatched"
}

func (g gostPlugins) selectNode(ctx context.Context, options ...hop.SelectOption) any {
	node := g.hop.Select(ctx, options...)
	if node == nil {
		return nil
	}
	return fmt.Sprintf(`{"name":%q,"addr":%q,"connector":{"type":"http"},"dialer":{"type":"tcp"}}`, node.Name, node.Addr)
}

func (g gostPlugins) limit(options ...limiter.Option) any {
	rate := func(l traffic.Limiter) any {
		if l == nil || l.Limit() <= 0 {
			return nil
		}
		return l.Limit()
	}
	return object{"upload": rate(g.limiter.In(nobody, "", options...)), "download": rate(g.limiter.Out(nobody, "", options...))}
}

func texts(ips []net.IP) any {
	all := []string{}
	for _, ip := range ips {
		all = append(all, ip.String())
	}
	return all
}

func (g gostPlugins) lookup(ctx context.Context, network, host string) any {
	ips, _ := g.hosts.Lookup(ctx, network, host)
	return texts(ips)
}

func (g gostPlugins) resolve(ctx context.Context, network, host string) any {
	ips, _ := g.resolver.Resolve(ctx, network, host)
	return texts(ips)
}

func (g gostPlugins) getRule(host string, options ...ingress.Option) any {
	if rule := g.ingress.GetRule(nobody, host, options...); rule != nil {
		return rule.Endpoint
	}
	return nil
}

func (g gostPlugins) setRule(host, endpoint string, options ...ingress.Option) any {
	g.ingress.SetRule(nobody, &ingress.Rule{Hostname: host, Endpoint: endpoint}, options...)
	return nil
}

func (g gostPlugins) getRoute(destination string, options ...router.Option) any {
	if route := g.router.GetRoute(nobody, destination, options...); route != nil {
		return object{"destination": route.Dst, "gateway": route.Gateway}
	}
	return nil
}

func (g gostPlugins) getServices(name string) any {
	services, err := g.sd.Get(nobody, name)
	all := []object{}
	for _, s := range services {
		all = append(all, object{"id": s.ID, "name": s.Name, "node": s.Node, "network": s.Network, "address": s.Address})
	}
	if err != nil {
		return err
	}
	return all
}

func (g gostPlugins) write(data string, metadata any) any {
	bytes, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		return err
	}
	return done(g.recorder.Record(nobody, bytes, recorder.MetadataRecordOption(metadata)))
}

func (g gostPlugins) observe(events ...observer.Event) any {
	return done(g.observer.Observe(nobody, events))
}
