package main

import (
	_ "github.com/go-gost/x/connector/relay"
	_ "github.com/go-gost/x/dialer/tls"
	_ "github.com/go-gost/x/dialer/ws"
	_ "github.com/go-gost/x/handler/relay"
	_ "github.com/go-gost/x/listener/tls"
	_ "github.com/go-gost/x/listener/ws"
)
