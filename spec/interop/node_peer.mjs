// A peer that uses Node's ws: it obeys messages that begin with "do ", echoes every other, and prints how each
// connection ended.
//
//   node_peer.mjs DEFLATE serve [CERT KEY]      prints its port
//   node_peer.mjs DEFLATE connect URL [CA]      connects again and again, until nobody listens there
//
// DEFLATE: {} with RFC 7692's parameters for permessage-deflate, null for none.

import fs from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import { once } from 'node:events'
import WebSocket, { WebSocketServer } from 'ws'

const SUBPROTOCOLS = ['v1.other', 'v2.echo']
// the first cut is within a character
const FRAGMENTED = { text: Buffer.from('\u65e5'.repeat(30000)), binary: Buffer.alloc(90000, 0xff) }

const commands = {
  close(ws, request, code, ...reason) { ws.close(code && Number(code), reason.join(' ')) },
  terminate(ws) { ws.terminate() },
  ping(ws, request, payload) {
    ws.once('pong', data => ws.send('pong ' + data))
    ws.ping(payload)
  },
  fragments(ws, request, kind) {
    const binary = kind === 'binary'
    ws.send(FRAGMENTED[kind].subarray(0, 100), { binary, fin: false })
    ws.ping('between')
    ws.send(FRAGMENTED[kind].subarray(100), { binary, fin: false })
    ws.send(Buffer.alloc(0), { binary, fin: true })
  },
  header(ws, request, name) { ws.send(request.headers[name] ?? '') },
  subprotocol(ws) { ws.send(ws.protocol) },
  extensions(ws) { ws.send(ws.extensions) },
}

function perMessageDeflate(deflate) {
  return deflate && {
    threshold: 0,
    serverNoContextTakeover: deflate.server_no_context_takeover,
    clientNoContextTakeover: deflate.client_no_context_takeover,
    serverMaxWindowBits: deflate.server_max_window_bits,
    clientMaxWindowBits: deflate.client_max_window_bits,
  }
}

// Its listeners are set at once: a message may come together with the end of the handshake.
function obey(ws, request) {
  ws.on('error', () => {})
  ws.on('message', (data, isBinary) => {
    const text = isBinary ? '' : data.toString()
    if (text.startsWith('do ')) {
      const [name, ...words] = text.slice(3).split(' ')
      commands[name](ws, request, ...words)
    } else {
      ws.send(data, { binary: isBinary })
    }
  })
  return new Promise(resolve => ws.addEventListener('close', ({ code, wasClean, reason }) => {
    resolve(`closed ${code} ${wasClean ? 'clean' : 'unclean'} ${reason}`)
  }))
}

async function serve(deflate, cert, key) {
  const server = cert
    ? https.createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) })
    : http.createServer()
  const handleProtocols = offered => SUBPROTOCOLS.find(name => offered.has(name)) ?? false
  const sockets = new WebSocketServer({ server, handleProtocols, perMessageDeflate: perMessageDeflate(deflate) ?? false })
  sockets.on('connection', async (ws, request) => console.log(await obey(ws, request)))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  console.log('port', server.address().port)
}

async function connect(deflate, url, ca) {
  const options = {
    headers: { 'X-Peer': 'a peer' }, ca: ca && fs.readFileSync(ca),
    perMessageDeflate: perMessageDeflate(deflate) ?? false,
  }
  for (;;) {
    const ws = new WebSocket(url, SUBPROTOCOLS, options)
    const ended = obey(ws)
    try {
      await once(ws, 'open')
    } catch {
      return
    }
    console.log(await ended)
  }
}

const [deflate, role, ...words] = process.argv.slice(2)
await { serve, connect }[role](JSON.parse(deflate), ...words)
