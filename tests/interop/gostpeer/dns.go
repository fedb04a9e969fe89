package main

import (
	_ "github.com/go-gost/x/handler/dns"
	_ "github.com/go-gost/x/listener/dns"
)
