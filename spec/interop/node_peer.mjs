// An echo server, or a client that tries one, with Node's ws.
//
//   node_peer.mjs serve [CERT KEY]      prints its port; "close" is closed with 4001, "die" ends the process
//   node_peer.mjs connect URL [CA]      echoes of many sizes, then a close; prints what it saw

import fs from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import { once } from 'node:events'
import WebSocket, { WebSocketServer } from 'ws'

const sawClose = (code, reason) => console.log('saw', code, reason.toString())

function echo(ws) {
  ws.on('close', sawClose)
  ws.on('error', () => {})
  ws.on('message', (data, isBinary) => {
    const text = isBinary ? null : data.toString()
    if (text === 'die') process.exit(1)
    else if (text === 'close') ws.close(4001, 'by the peer')
    else ws.send(data, { binary: isBinary })
  })
}

async function serve(cert, key) {
  const server = cert
    ? https.createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) })
    : http.createServer()
  new WebSocketServer({ server }).on('connection', echo)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  console.log('port', server.address().port)
}

async function open(url, options) {
  const ws = new WebSocket(url, ['v2.echo'], options)
  await once(ws, 'open')
  return ws
}

async function connect(url, ca) {
  const options = ca ? { ca: fs.readFileSync(ca) } : {}
  let ws = await open(url, options)
  console.log('subprotocol', ws.protocol)
  for (const size of [0, 1, 125, 126, 65535, 65536, 1 << 20]) {
    for (const message of ['\u65e5'.repeat(size / 3), Buffer.alloc(size, 0xff)]) {
      ws.send(message)
      const [data, isBinary] = await once(ws, 'message')
      if (isBinary !== Buffer.isBuffer(message) || Buffer.compare(data, Buffer.from(message))) throw new Error(size)
    }
  }
  ws.send('frag', { fin: false })
  ws.send('ments', { fin: true })
  if ((await once(ws, 'message'))[0].toString() !== 'fragments') throw new Error('fragments')
  ws.ping('there?')
  if ((await once(ws, 'pong'))[0].toString() !== 'there?') throw new Error('pong')
  ws.close(3001, 'ciao')
  sawClose(...await once(ws, 'close'))
  ws = await open(url, options)
  ws.send('close')
  sawClose(...await once(ws, 'close'))
}

await { serve, connect }[process.argv[2]](...process.argv.slice(3))
