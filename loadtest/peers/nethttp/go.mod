module nethttp-proxy

go 1.21
