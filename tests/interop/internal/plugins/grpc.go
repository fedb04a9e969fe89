package plugins

import (
	"bytes"
	"context"
	"encoding/json"

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
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

func (t *table) register(s *grpc.Server) {
	auther.RegisterAuthenticatorServer(s, t)
	admission.RegisterAdmissionServer(s, t)
	bypass.RegisterBypassServer(s, t)
	hop.RegisterHopServer(s, t)
	limiter.RegisterLimiterServer(s, t)
	hosts.RegisterHostMapperServer(s, t)
	resolver.RegisterResolverServer(s, t)
	ingress.RegisterIngressServer(s, t)
	router.RegisterRouterServer(s, t)
	sd.RegisterSDServer(s, t)
	recorder.RegisterRecorderServer(s, t)
	observer.RegisterObserverServer(s, t)
	rewriter.RegisterRewriterServer(s, t)
}

// guard writes every request down and turns those without the token away.
func guard(token string) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, in any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		body, err := fields(in.(proto.Message))
		if err != nil {
			return nil, err
		}
		md, _ := metadata.FromIncomingContext(ctx)
		write(record{"grpc", "POST", info.FullMethod, "", md, body})
		if got := md["token"]; token != "" && (len(got) != 1 || got[0] != token) {
			return nil, status.Error(codes.Unauthenticated, "wrong token")
		}
		return next(ctx, in)
	}
}

// fields is a message as JSON with all its fields, empty or not, in the order of the .proto file.
func fields(message proto.Message) (string, error) {
	text, err := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(message)
	if err != nil {
		return "", err
	}
	// The library puts spaces in at random.
	var compact bytes.Buffer
	err = json.Compact(&compact, text)
	return compact.String(), err
}
