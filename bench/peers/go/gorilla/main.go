// gorilla/websocket, as its example echo does it; publish: prepared once, written to all.
package main

import (
	"net/http"
	"sync"

	"github.com/gorilla/websocket"

	"peers/serve"
)

var (
	upgrader    = websocket.Upgrader{EnableCompression: serve.Mode() == "shared"}
	lock        sync.Mutex
	subscribers = map[*websocket.Conn]struct{}{}
)

func publish(kind int, message []byte) error {
	prepared, err := websocket.NewPreparedMessage(kind, message)
	if err != nil {
		return err
	}
	lock.Lock()
	defer lock.Unlock()
	for subscriber := range subscribers {
		if err := subscriber.WritePreparedMessage(prepared); err != nil {
			return err
		}
	}
	return nil
}

func serveConnection(w http.ResponseWriter, r *http.Request) {
	connection, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer connection.Close()
	send := connection.WriteMessage
	if serve.Mode() == "publish" {
		lock.Lock()
		subscribers[connection] = struct{}{}
		lock.Unlock()
		send = publish
	}
	for {
		kind, message, err := connection.ReadMessage()
		if err != nil {
			return
		}
		if send(kind, message) != nil {
			return
		}
	}
}

func main() {
	serve.With(serveConnection)
}
