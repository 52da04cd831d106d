// A reverse proxy on fasthttp, with a version header.
package main

import (
	"os"

	"github.com/valyala/fasthttp"
)

func main() {
	origin := &fasthttp.HostClient{Addr: os.Args[1], MaxConns: 4096, NoDefaultUserAgentHeader: true}
	server := &fasthttp.Server{
		NoDefaultServerHeader: true,
		Concurrency:           1 << 18,
		Handler: func(ctx *fasthttp.RequestCtx) {
			request, response := &ctx.Request, &ctx.Response
			request.Header.Del("Connection")
			request.Header.Set("X-Forwarded-For", ctx.RemoteIP().String())
			if err := origin.Do(request, response); err != nil {
				ctx.Error("bad gateway", fasthttp.StatusBadGateway)
				return
			}
			response.Header.Del("Connection")
			response.Header.Set("X-BFF-Version", "v2.4")
		},
	}
	panic(server.ListenAndServe(os.Args[2]))
}
