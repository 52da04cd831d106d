// lura, the engine of KrakenD, as KrakenD runs it: its router on gin, its proxies with the standard library's client and decoder, no log.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/gin-gonic/gin"
	"github.com/luraproject/lura/v2/config"
	"github.com/luraproject/lura/v2/logging"
	"github.com/luraproject/lura/v2/proxy"
	luragin "github.com/luraproject/lura/v2/router/gin"
	"github.com/luraproject/lura/v2/transport/http/server"
)

func main() {
	settings, err := config.NewParser().Parse(os.Args[1])
	if err != nil {
		panic(err)
	}
	logger, err := logging.NewLogger("CRITICAL", io.Discard, "")
	if err != nil {
		panic(err)
	}
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	// What is measured is the proxy: who is asked for, and by whom, is written nowhere.
	factory := luragin.NewFactory(luragin.Config{
		Engine:         engine,
		HandlerFactory: luragin.EndpointHandler,
		ProxyFactory:   proxy.DefaultFactory(logger),
		Logger:         logger,
		RunServer:      server.RunServer,
	})
	ended, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	factory.NewWithContext(ended).Run(settings)
}
