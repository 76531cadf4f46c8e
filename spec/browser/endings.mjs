// What a page is told of the end of its WebSocket (code, reason, wasClean) for every way in which the server can end
// it, and what the server's on_close was told of the same connection.

import assert from 'node:assert/strict'
import { before, describe } from 'node:test'
import { emptyOrigin, it, openPage, Program } from './support.mjs'

let server, ports, page

async function start() {
  const program = new Program('spec/browser/server.lua', emptyOrigin())
  return [program, JSON.parse((await program.line(/^ports (.*)/))[1])]
}

const url = (name, rest = '/') => `ws://127.0.0.1:${ports[name]}${rest}`

// In the page: opens a WebSocket, sends one message, and waits for the end. `leave`: what close is then called with.
function play(target, { say, leave, messages, of = page } = {}) {
  return of.evaluate(({ target, say, leave, messages }) => new Promise(resolve => {
    const seen = { opened: false, received: [] }
    const ws = new WebSocket(target)
    ws.onopen = () => {
      seen.opened = true
      for (const each of [say ?? []].flat()) ws.send(each)
      if (leave && !messages) ws.close(...leave)
    }
    ws.onmessage = event => {
      seen.received.push(event.data)
      if (seen.received.length === messages) ws.close(...leave ?? [])
    }
    ws.onclose = ({ code, reason, wasClean }) => resolve({ ...seen, code, reason, wasClean })
  }), { target, say, leave, messages })
}

async function told(program = server) {
  return JSON.parse((await program.line(/^closed (.*)/))[1])
}

/** Both sides of one connection: the page's [code, reason, wasClean], and on_close's [code, reason, clean, by]. */
async function both(target, how) {
  const seen = await play(target, how)
  assert.equal(seen.opened, true)
  const { code, reason, clean, by } = await told()
  return [[seen.code, seen.reason, seen.wasClean], [code, reason, clean, by]]
}

before(async () => {
  [server, ports] = await start()
  page = await openPage(emptyOrigin())
})

describe('a page is told how the server ended its connection', () => {
  for (const code of [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4001, 4999]) {
    it(`ws:close(${code}, "bye")`, async () => {
      assert.deepEqual(await both(url('plain'), { say: `close ${code} bye` }),
        [[code, 'bye', true], [code, 'bye', true, 'local']])
    })
  }

  it('a reason of 123 bytes', async () => {
    const reason = '日'.repeat(41)
    assert.deepEqual(await both(url('plain'), { say: `close 4000 ${reason}` }),
      [[4000, reason, true], [4000, reason, true, 'local']])
  })

  it('the handler returned', async () => {
    assert.deepEqual(await both(url('plain'), { say: 'return' }), [[1000, '', true], [1000, '', true, 'local']])
  })

  it('the handler raised an error: 1011, and not what the error said', async () => {
    const [seen, ended] = await both(url('plain'), { say: 'raise' })
    assert.deepEqual([seen[0], seen[2]], [1011, true])
    assert.doesNotMatch(seen[1], /mistake/)
    assert.deepEqual(ended, [1011, 'a callback raised an error', false, 'local'])
  })

  it('a message over the limit: 1009', async () => {
    const [seen, ended] = await both(url('plain'), { say: 'x'.repeat((1 << 20) + 1) })
    assert.deepEqual([seen[0], seen[2]], [1009, true])
    assert.match(ended[1], /^message of 1048577 bytes is over the limit/)
  })

  it('more messages than max_rate: 1008', async () => {
    // not wasClean: what the page is still sending when it is failed may cross with the end of TCP
    const [seen, ended] = await both(url('impatient'), { say: ['1', '2', '3', '4', '5'] })
    assert.equal(seen[0], 1008)
    assert.deepEqual([ended[0], ended[3]], [1008, 'local'])
  })

  it('a send queue over the limit: 1008, behind what was queued', async () => {
    const [seen, ended] = await both(url('narrow'), { say: 'flood' })
    assert.deepEqual([seen[0], seen[2]], [1008, true])
    assert.match(ended[1], /^send queue of .* is over the limit/)
  })

  it('idle_timeout: 1001', async () => {
    const reason = 'no message for 0.05 s'
    assert.deepEqual(await both(url('idle')), [[1001, reason, true], [1001, reason, true, 'local']])
  })

  it('ws:terminate(): 1006 and no words', async () => {
    assert.deepEqual(await both(url('plain'), { say: 'terminate' }),
      [[1006, '', false], [1006, 'terminated', false, 'local']])
  })

  it('authorize closes with 4401, and the page can read why', async () => {
    assert.deepEqual(await play(url('private', '/?token=old')),
      { opened: true, received: [], code: 4401, reason: 'token expired', wasClean: true })
  })

  it('server:shutdown: its code and reason', async () => {
    assert.deepEqual(await both(url('shutdown'), { say: 'shutdown 1012 back soon' }),
      [[1012, 'back soon', true], [1012, 'back soon', true, 'local']])
  })
})

describe('a page is told 1006 and nothing else', () => {
  const nothing = { opened: false, received: [], code: 1006, reason: '', wasClean: false }

  async function refused(name, status) {
    const { received } = await play(url('plain'), { say: `refused ${name} ${status}`, messages: 1 })
    await told()
    return Number(received[0])
  }

  it('where authorize refuses with 401; the server counts it', async () => {
    const earlier = await refused('private', 401)
    assert.deepEqual(await play(url('private')), nothing)
    assert.equal(await refused('private', 401), earlier + 1)
  })

  it('where its origin is refused with 403; the server counts it', async () => {
    const other = await openPage(emptyOrigin('localhost'))
    assert.deepEqual(await play(url('plain'), { of: other }), nothing)
    assert.equal(await refused('plain', 403), 1)
  })

  it('where nobody listens', async () => {
    assert.deepEqual(await play('ws://127.0.0.1:1/'), nothing)
  })
})

describe('a server that is', () => {
  let program, own

  // A connection of a process of its own, that has been answered once.
  async function connected() {
    const [started, itsPorts] = await start()
    program = started
    own = await openPage(emptyOrigin())
    await own.evaluate(target => new Promise(resolve => {
      const ws = new WebSocket(target)
      globalThis.ws = ws
      globalThis.ended = new Promise(end => {
        ws.onclose = ({ code, reason, wasClean }) => end([code, reason, wasClean])
      })
      ws.onopen = () => ws.send('hello')
      ws.onmessage = resolve
    }), `ws://127.0.0.1:${itsPorts.plain}/`)
  }
  const ended = () => own.evaluate(() => globalThis.ended)

  it('killed (kill -9): 1006', async () => {
    await connected()
    await program.end('SIGKILL')
    assert.deepEqual(await ended(), [1006, '', false])
  })

  it('told to end (SIGTERM): 1001, and on_close is told before it does', async () => {
    await connected()
    const [status] = await Promise.all([program.end('SIGTERM'), told(program)])
    assert.equal(status, 0)
    assert.deepEqual(await ended(), [1001, '', true])
  })

  it('stopped for a while answers what the page said meanwhile', async () => {
    await connected()
    program.signal('SIGSTOP')
    await own.evaluate(() => globalThis.ws.close(4000, 'bye'))
    program.signal('SIGCONT')
    assert.deepEqual(await told(program), { code: 4000, reason: 'bye', clean: true, by: 'peer' })
    assert.deepEqual(await ended(), [4000, '', true])
  })
})

describe('the server is told how a page ended its connection', () => {
  it('ws.close(4000, "bye")', async () => {
    assert.deepEqual(await both(url('plain'), { leave: [4000, 'bye'] }),
      [[4000, '', true], [4000, 'bye', true, 'peer']])
  })

  it('ws.close(): no code', async () => {
    assert.deepEqual(await both(url('plain'), { leave: [] }), [[1005, '', true], [1005, '', true, 'peer']])
  })

  it('ws.close(4000), answered by on_closing with 4002 and a reason', async () => {
    assert.deepEqual(await both(url('plain'), { say: 'answer 4002 fine', messages: 1, leave: [4000] }),
      [[4002, 'fine', true], [4000, '', true, 'peer']])
  })

  const open = target => new Promise(resolve => {
    const ws = new WebSocket(target)
    ws.onopen = () => ws.send('hello')
    ws.onmessage = () => resolve()
  })

  it('the page is reloaded: 1001', async () => {
    await page.evaluate(open, url('plain'))
    await page.reload()
    assert.deepEqual(await told(), { code: 1001, reason: '', clean: true, by: 'peer' })
  })

  it('the tab is closed: 1001', async () => {
    await page.evaluate(open, url('plain'))
    await page.close()
    assert.deepEqual(await told(), { code: 1001, reason: '', clean: true, by: 'peer' })
  })
})

describe('messages', () => {
  before(async () => { page = await openPage(emptyOrigin()) })

  const text = 'WebSocket \u2603 '.repeat(20000)

  it('are compressed as Chromium offers it', async () => {
    const { received } = await play(url('compressed'), { say: [text, 'again'], messages: 3 })
    await told()
    assert.match(received[0], /^permessage-deflate; server_no_context_takeover; client_no_context_takeover$/)
    assert.deepEqual(received.slice(1), [text, 'again'])
  })

  it('are not where the server does not want it', async () => {
    const { received } = await play(url('plain'), { say: [text, 'again'], messages: 3 })
    await told()
    assert.deepEqual(received, ['', text, 'again'])
  })
})
