// lxzan/gws, as its readme does it; publish: its broadcaster.
package main

import (
	"net/http"
	"sync"

	"github.com/lxzan/gws"

	"peers/serve"
)

type handler struct {
	gws.BuiltinEventHandler
	lock        sync.Mutex
	subscribers map[*gws.Conn]struct{}
}

func (h *handler) OnOpen(socket *gws.Conn) {
	if serve.Mode() == "publish" {
		h.lock.Lock()
		h.subscribers[socket] = struct{}{}
		h.lock.Unlock()
	}
}

func (h *handler) OnMessage(socket *gws.Conn, message *gws.Message) {
	defer message.Close()
	if serve.Mode() != "publish" {
		_ = socket.WriteMessage(message.Opcode, message.Bytes())
		return
	}
	broadcaster := gws.NewBroadcaster(message.Opcode, message.Bytes())
	defer broadcaster.Close()
	h.lock.Lock()
	defer h.lock.Unlock()
	for subscriber := range h.subscribers {
		_ = broadcaster.Broadcast(subscriber)
	}
}

func main() {
	takeover := serve.Mode() == "takeover"
	upgrader := gws.NewUpgrader(&handler{subscribers: map[*gws.Conn]struct{}{}}, &gws.ServerOption{
		CheckUtf8Enabled: true,
		PermessageDeflate: gws.PermessageDeflate{
			Enabled:               takeover || serve.Mode() == "shared",
			ServerContextTakeover: takeover,
			ClientContextTakeover: takeover,
			ServerMaxWindowBits:   15,
			ClientMaxWindowBits:   15,
		},
	})
	serve.With(func(w http.ResponseWriter, r *http.Request) {
		if socket, err := upgrader.Upgrade(w, r); err == nil {
			go socket.ReadLoop()
		}
	})
}
