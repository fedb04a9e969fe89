package main

import (
	_ "github.com/go-gost/x/connector/router"
	_ "github.com/go-gost/x/handler/router"
	_ "github.com/go-gost/x/handler/tun"
	_ "github.com/go-gost/x/listener/tun"
)
