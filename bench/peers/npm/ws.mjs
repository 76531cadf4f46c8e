// ws, as its readme does it. Prints its port.
//     ws.mjs echo | shared | takeover | publish
//     ws.mjs tls CERTIFICATE KEY
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { WebSocket, WebSocketServer } from 'ws';

const [mode, certificate, key] = process.argv.slice(2);
const compression = {
  shared: { serverNoContextTakeover: true, clientNoContextTakeover: true },
  takeover: {},
}[mode];
const server = mode === 'tls'
  ? createSecureServer({ cert: readFileSync(certificate), key: readFileSync(key) }) : createServer();
const sockets = new WebSocketServer({ server, perMessageDeflate: compression ?? false });

sockets.on('connection', (socket) => {
  socket.on('error', () => {});
  socket.on('message', (data, binary) => {
    if (mode !== 'publish') return socket.send(data, { binary });
    for (const each of sockets.clients)
      if (each.readyState === WebSocket.OPEN) each.send(data, { binary });
  });
});
server.listen({ port: 0, host: '127.0.0.1', backlog: 1024 }, () => console.log(server.address().port));
