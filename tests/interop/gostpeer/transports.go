package main

import (
	_ "github.com/go-gost/x/connector/forward"
	_ "github.com/go-gost/x/connector/sni"
	_ "github.com/go-gost/x/dialer/tls"
	_ "github.com/go-gost/x/dialer/unix"
	_ "github.com/go-gost/x/dialer/ws"
	_ "github.com/go-gost/x/handler/sni"
	_ "github.com/go-gost/x/listener/tls"
	_ "github.com/go-gost/x/listener/unix"
	_ "github.com/go-gost/x/listener/ws"
)
