package plugins

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/go-gost/plugin/hop/proto"
	ingress "github.com/go-gost/plugin/ingress/proto"
	rewriter "github.com/go-gost/plugin/rewriter/proto"
	router "github.com/go-gost/plugin/router/proto"
	sd "github.com/go-gost/plugin/sd/proto"
)

// routes has a path per module. A body of HTTP has the keys that the messages of gRPC have in Go's own JSON, except where
// something is said below.
func (t *table) routes() *http.ServeMux {
	mux := http.NewServeMux()
	authenticate := endpointOf(t.Authenticate)
	mux.Handle("POST /auth", authenticate)
	mux.Handle("POST /auther", authenticate)
	mux.Handle("POST /admission", endpointOf(t.Admit))
	mux.Handle("POST /bypass", endpointOf(t.Bypass))
	mux.Handle("POST /limiter", endpointOf(t.Limit))
	mux.Handle("POST /hosts", endpointOf(t.Lookup))
	mux.Handle("POST /resolver", endpointOf(t.Resolve))
	mux.Handle("PUT /ingress", endpointOf(t.SetRule))
	mux.Handle("POST /recorder", endpointOf(t.Record))
	mux.Handle("POST /observer", endpointOf(t.Observe))

	// Questions without a body.
	mux.HandleFunc("GET /ingress", func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		reply, err := t.GetRule(r.Context(), &ingress.GetRuleRequest{Host: query.Get("host"), Service: query.Get("service")})
		respond(w, reply, err)
	})
	mux.HandleFunc("GET /router", func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		reply, err := t.GetRoute(r.Context(), &router.GetRouteRequest{Dst: query.Get("dst"), Id: query.Get("id")})
		respond(w, reply, err)
	})
	mux.HandleFunc("GET /sd", func(w http.ResponseWriter, r *http.Request) {
		reply, err := t.Get(r.Context(), &sd.GetServiceRequest{Name: r.URL.Query().Get("name")})
		respond(w, reply, err)
	})

	// The service itself, without a message around it.
	mux.Handle("POST /sd", endpointOf(func(ctx context.Context, s *sd.Service) (*sd.RegisterReply, error) {
		return t.Register(ctx, &sd.RegisterRequest{Service: s})
	}))
	mux.Handle("PUT /sd", endpointOf(func(ctx context.Context, s *sd.Service) (*sd.RenewReply, error) {
		return t.Renew(ctx, &sd.RenewRequest{Service: s})
	}))
	mux.Handle("DELETE /sd", endpointOf(func(ctx context.Context, s *sd.Service) (*sd.DeregisterReply, error) {
		return t.Deregister(ctx, &sd.DeregisterRequest{Service: s})
	}))

	// The node itself; GOST takes any status but 200 for "no node".
	mux.Handle("POST /hop", endpointOf(func(ctx context.Context, in *proto.SelectRequest) (json.RawMessage, error) {
		reply, err := t.Select(ctx, in)
		if err == nil && len(reply.Node) == 0 {
			err = errNoNode
		}
		return reply.GetNode(), err
	}))

	// An empty body and no body are two things here.
	type rewritten struct {
		OK   bool   `json:"ok"`
		Data []byte `json:"data"`
	}
	mux.Handle("POST /rewriter", endpointOf(func(ctx context.Context, in *rewriter.RewriteRequest) (rewritten, error) {
		reply, err := t.Rewrite(ctx, in)
		return rewritten{reply.GetOk(), reply.GetData()}, err
	}))
	return mux
}

var errNoNode = errors.New("no node")

// endpointOf decodes the body, asks and encodes the answer.
func endpointOf[Q, A any](ask func(context.Context, *Q) (A, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request := new(Q)
		if err := json.NewDecoder(r.Body).Decode(request); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		reply, err := ask(r.Context(), request)
		respond(w, reply, err)
	})
}

func respond(w http.ResponseWriter, reply any, err error) {
	switch {
	case err == errNoNode:
		http.Error(w, err.Error(), http.StatusNotFound)
	case err != nil:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	default:
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(reply)
	}
}

// recorded writes every request down, those to unknown paths too, which lets a test mark a point in the log.
func recorded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		write(record{"http", r.Method, r.URL.Path, r.URL.RawQuery, r.Header, string(body)})
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}
