// Package serve is net/http's server on a free port, which it prints.
package serve

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
)

// Mode is the first argument: echo, shared, publish, or tls with a certificate and a key.
func Mode() string {
	return os.Args[1]
}

// With serves every path with the handler.
func With(handler http.HandlerFunc) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	if Mode() == "tls" {
		err = http.ServeTLS(listener, handler, os.Args[2], os.Args[3])
	} else {
		err = http.Serve(listener, handler)
	}
	log.Fatal(err)
}
