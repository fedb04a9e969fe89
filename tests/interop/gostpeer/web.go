package main

import (
	_ "github.com/go-gost/x/handler/file"
	_ "github.com/go-gost/x/handler/metrics"
)
