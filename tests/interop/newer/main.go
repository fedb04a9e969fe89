// Newer asks one question by the plugin clients of a newer GOST than the stable one: those that send what stable GOST doesn't
// know yet. It prints the reply as JSON, or exits with 1 if there was none.
//
//	newer PROTOCOL ADDRESS QUESTION
//
// ADDRESS is that of the module, QUESTION the name of a row in calls_test.go. A module of its own: two versions of one module
// don't fit in one.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"os"

	"github.com/go-gost/core/admission"
	"github.com/go-gost/core/auth"
	"github.com/go-gost/core/logger"
	"github.com/go-gost/core/recorder"
	"github.com/go-gost/core/rewriter"
	"github.com/go-gost/x/config"
	parse_admission "github.com/go-gost/x/config/parsing/admission"
	parse_auther "github.com/go-gost/x/config/parsing/auth"
	parse_recorder "github.com/go-gost/x/config/parsing/recorder"
	parse_rewriter "github.com/go-gost/x/config/parsing/rewriter"
	xctx "github.com/go-gost/x/ctx"
	xlogger "github.com/go-gost/x/logger"
)

type object = map[string]any

// ask answers with the WIT reply, or an error.
type ask func(*config.PluginConfig) (any, error)

var questions = map[string]ask{
	"authenticate":                authenticate(from("192.0.2.7:41806", nil), "service-0", "gøst-用户-🙂", `pä:ss "wörd\`),
	"authenticate/no credentials": authenticate(context.Background(), "service-0", "", ""),
	"authenticate/certificate": authenticate(from("[2001:db8::7]:1", &xctx.PeerCert{
		CN: "cn", SANs: []string{"a.test", "a@b.test"},
		Fingerprint: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
	}), "@api", "u", "p"),
	"admit":             admit("tcp", "192.0.2.7:41806", admission.WithService("service-0"), admission.WithNetwork("tcp")),
	"admit/denied":      admit("ip", "192.0.2.66", admission.WithNetwork("ip")),
	"write":             write("\x00\xff f", recorder.MetadataRecordOption(object{"k": "v"})),
	"write/refused":     write("refused"),
	"write/nothing":     write(""),
	"rewrite":           rewrite([]byte("the old one"), object{"direction": "response"}),
	"rewrite/unchanged": rewrite([]byte("other"), object{}),
	"rewrite/emptied":   rewrite([]byte("gone"), object{}),
	"rewrite/nothing":   rewrite(nil, object{}),
}

func main() {
	logger.SetDefault(xlogger.Nop())
	if len(os.Args) != 4 {
		log.Fatal("newer PROTOCOL ADDRESS QUESTION")
	}
	ask, ok := questions[os.Args[3]]
	if !ok {
		log.Fatalf("no such question: %s", os.Args[3])
	}
	reply, err := ask(&config.PluginConfig{Type: os.Args[1], Addr: os.Args[2], Token: "gost"})
	if err != nil {
		log.Fatal(err)
	}
	text, err := json.Marshal(reply)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(text))
}

func from(addr string, certificate *xctx.PeerCert) context.Context {
	source, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		log.Fatal(err)
	}
	return xctx.ContextWithPeerCert(xctx.ContextWithSrcAddr(context.Background(), source), certificate)
}

func authenticate(ctx context.Context, service, user, password string) ask {
	return func(plugin *config.PluginConfig) (any, error) {
		auther := parse_auther.ParseAuther(&config.AutherConfig{Plugin: plugin})
		if id, ok := auther.Authenticate(ctx, user, password, auth.WithService(service)); ok {
			return object{"client_id": id}, nil
		}
		return nil, nil
	}
}

func admit(network, addr string, options ...admission.Option) ask {
	return func(plugin *config.PluginConfig) (any, error) {
		if parse_admission.ParseAdmission(&config.AdmissionConfig{Plugin: plugin}).Admit(context.Background(), network, addr, options...) {
			return "Admitted", nil
		}
		return "Denied", nil
	}
}

func write(data string, options ...recorder.RecordOption) ask {
	return func(plugin *config.PluginConfig) (any, error) {
		return nil, parse_recorder.ParseRecorder(&config.RecorderConfig{Plugin: plugin}).Record(context.Background(), []byte(data), options...)
	}
}

// rewrite has no reply where the data stay as they are.
func rewrite(data []byte, metadata any) ask {
	return func(plugin *config.PluginConfig) (any, error) {
		option := rewriter.MetadataRewriteOption(metadata)
		rewritten, err := parse_rewriter.ParseRewriter(&config.RewriterConfig{Plugin: plugin}).Rewrite(context.Background(), data, option)
		if err != nil || bytes.Equal(rewritten, data) {
			return nil, err
		}
		return rewritten, nil
	}
}
