package main

import (
	_ "github.com/go-gost/x/admission/plugin"
	_ "github.com/go-gost/x/auth/plugin"
	_ "github.com/go-gost/x/bypass/plugin"
	_ "github.com/go-gost/x/hop/plugin"
	_ "github.com/go-gost/x/hosts/plugin"
	_ "github.com/go-gost/x/ingress/plugin"
	_ "github.com/go-gost/x/limiter/traffic/plugin"
	_ "github.com/go-gost/x/observer/plugin"
	_ "github.com/go-gost/x/recorder/plugin"
	_ "github.com/go-gost/x/resolver/plugin"
	_ "github.com/go-gost/x/rewriter/plugin"
	_ "github.com/go-gost/x/router/plugin"
	_ "github.com/go-gost/x/sd/plugin"
)

func main() {}
