// The page of examples/chat: two people at once, and everything that can come between them.

import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe } from 'node:test'
import { capture, it, openPage, Program } from './support.mjs'

let server, address, pages

// A chat on a port of its own, or again on the one before.
async function start(where = '127.0.0.1:0') {
  server = new Program('-e', 'package.path = "examples/chat/?.lua;" .. package.path', 'examples/chat/server.lua', where)
  const [, found] = await server.line(/page at http:\/\/(\S+?)\//)
  address = found
}

// Somebody's page, in a browser context of their own.
async function visit(room = 'lobby', options) {
  const page = await openPage(`http://${address}/#${room}`, options)
  pages.push(page)
  page.errors = []
  page.on('pageerror', error => page.errors.push(String(error)))
  return page
}

async function join(page, name) {
  await page.getByLabel('Your name').fill(name)
  await page.getByRole('button', { name: 'Join' }).click()
}

async function comes(name, room, options) {
  const page = await visit(room, options)
  await join(page, name)
  await connected(page)
  return page
}

const status = page => page.getByRole('status')
const connected = page => status(page).getByText('Connected as').waitFor()
const log = page => page.getByRole('log')
const sees = (page, text) => log(page).getByText(text, { exact: true }).first().waitFor()

async function says(page, text) {
  await page.getByLabel('Message', { exact: true }).fill(text)
  await page.getByRole('button', { name: 'Send' }).click()
}

const texts = page => page.locator('.message .text').allTextContents()
const people = page => page.locator('#people li').allTextContents()

beforeEach(async () => {
  pages = []
  await start()
})

afterEach(async () => {
  for (const page of pages) {
    assert.deepEqual(page.errors, [])
    await page.context().close()
  }
  await server.end('SIGKILL')
})

describe('the page of examples/chat', () => {
  it('shows two people what both of them say, and who is here', async () => {
    const [ann, bob] = [await comes('Ann'), await comes('Bob')]
    await sees(ann, 'Bob comes')
    await says(ann, 'Hello Bob!')
    await sees(bob, 'Hello Bob!')
    await says(bob, 'Hello Ann!')
    await sees(ann, 'Hello Ann!')
    assert.deepEqual(await texts(ann), ['Hello Bob!', 'Hello Ann!'])
    assert.deepEqual(await texts(bob), await texts(ann))
    assert.deepEqual(await people(bob), ['Ann', 'Bob'])
    await bob.getByRole('button', { name: 'Leave' }).click()
    await sees(ann, 'Bob goes')
    assert.deepEqual(await people(ann), ['Ann'])
  })

  it('shows what is said as text, whatever it looks like', async () => {
    const [ann, bob] = [await comes('Ann'), await comes('<b>Bob</b>')]
    const html = '<img src=x onerror="document.title = 1"><script>alert(1)</script>'
    await says(bob, html)
    await sees(ann, html)
    assert.deepEqual(await people(ann), ['<b>Bob</b>', 'Ann'])
    assert.equal(await ann.locator('#log img, #log script, #people b').count(), 0)
    assert.equal(await ann.title(), 'lobby')
  })

  it('lets no other script run', async () => {
    const ann = await comes('Ann')
    const refused = ann.evaluate(() => new Promise(resolve => {
      document.addEventListener('securitypolicyviolation', event => resolve(event.effectiveDirective))
      document.body.append(Object.assign(document.createElement('script'), { textContent: 'document.title = "ran"' }))
    }))
    assert.equal(await refused, 'script-src-elem')
    assert.equal(await ann.title(), 'lobby')
  })

  it('keeps rooms apart', async () => {
    const [ann, eve] = [await comes('Ann'), await comes('Eve', 'cellar')]
    await says(ann, 'in the lobby')
    await sees(ann, 'in the lobby')
    await says(eve, 'in the cellar')
    await sees(eve, 'in the cellar')
    assert.deepEqual(await texts(eve), ['in the cellar'])
  })

  it('says why it was not let in, and lets another name be tried', async () => {
    await comes('Ann')
    const other = await visit()
    await join(other, 'Ann')
    await other.getByRole('alert').getByText('4409: Ann is here already').waitFor()
    await join(other, 'Anna')
    await connected(other)
    assert.deepEqual(await people(other), ['Ann', 'Anna'])
  })

  it('does not come back after 1008, and says why', async () => {
    const ann = await comes('Ann')
    await ann.evaluate(() => ws.send('nonsense'))
    await status(ann).getByText('Closed for good. 1008: say {"text": "..."}').waitFor()
    assert.equal(await ann.evaluate(() => timer), null)
    await ann.getByRole('button', { name: 'Connect now' }).click()
    await connected(ann)
  })

  it('comes back after what passes, and not after what does not', async () => {
    const passes = [1001, 1011, 1012, 1013, 1014], stays = [1000, 1002, 1003, 1007, 1008, 1009, 4401, 4408]
    const ann = await visit()
    let code
    await ann.routeWebSocket(/\/room\//, socket => socket.close({ code, reason: `this is ${code}` }))
    await ann.getByLabel('Your name').fill('Ann')
    for (code of [...passes, ...stays]) {
      await ann.getByRole('button', { name: /Join|Connect now/ }).click()
      const told = `${code}: this is ${code}`
      await status(ann).getByText(passes.includes(code) ? `${told}. Again in` : `Closed for good. ${told}`).waitFor()
      if (stays.includes(code)) assert.equal(await ann.evaluate(() => timer), null)
    }
  })

  it('comes back to a server that was killed, with its name, its room, and what was typed', async () => {
    const [ann, bob] = [await comes('Ann'), await comes('Bob')]
    await says(ann, 'before')
    await sees(bob, 'before')
    await server.end('SIGKILL')
    await status(ann).getByText(/^1006: connection lost, or refused\. Again in \d+ s\.$/).waitFor()
    await says(ann, 'not lost')
    assert.equal(await ann.getByLabel('Message', { exact: true }).inputValue(), 'not lost')
    await start(address)
    await Promise.all([connected(ann), connected(bob)])
    await ann.getByRole('button', { name: 'Send' }).click()
    await sees(bob, 'not lost')
    assert.deepEqual(await texts(bob), ['before', 'not lost'])
    assert.deepEqual(await people(ann), ['Ann', 'Bob'])
  })

  it('says that the server goes away, and comes back when it has restarted', async () => {
    const ann = await comes('Ann')
    assert.equal(await server.end('SIGTERM'), 0)
    await status(ann).getByText(/^1001: the server goes away\. Again in|^1006: /).waitFor()
    await start(address)
    await connected(ann)
  })

  it('is told what was said while it was away, once', async () => {
    const [ann, bob] = [await comes('Ann'), await comes('Bob')]
    await says(bob, 'one')
    await sees(ann, 'one')
    await ann.evaluate(() => ws.close(4000)) // for good: it does not come back by itself
    await status(ann).getByText('Closed for good. 4000').waitFor()
    await says(bob, 'two')
    await says(bob, 'three')
    await sees(bob, 'three')
    await ann.getByRole('button', { name: 'Connect now' }).click()
    await sees(ann, 'three')
    assert.deepEqual(await texts(ann), ['one', 'two', 'three'])
  })

  it('is where it was after a reload', async () => {
    const ann = await comes('Ann', 'cellar')
    await says(ann, 'still here')
    await sees(ann, 'still here')
    await ann.reload()
    await connected(ann)
    await sees(ann, 'still here')
    assert.deepEqual([await ann.title(), await people(ann)], ['cellar', ['Ann']])
  })

  it('takes its name over from a connection that the server still believes in', async () => {
    const ann = await comes('Ann')
    await ann.evaluate(() => {
      ws.onclose = null // as if the network had gone
      connect()
    })
    await connected(ann)
    await says(ann, 'here I am')
    await sees(ann, 'here I am')
    assert.deepEqual(await people(ann), ['Ann'])
  })

  it('keeps what is said before it is connected where it was typed', async () => {
    const ann = await visit()
    server.signal('SIGSTOP')
    await join(ann, 'Ann')
    await says(ann, 'early')
    server.signal('SIGCONT')
    await connected(ann)
    await ann.getByRole('button', { name: 'Send' }).click()
    await sees(ann, 'early')
  })

  it('can be used with the keyboard alone', async () => {
    const ann = await visit()
    await ann.getByLabel('Your name').press('Tab')
    await ann.keyboard.press('Shift+Tab')
    await ann.keyboard.type('Ann')
    await ann.keyboard.press('Enter')
    await connected(ann)
    await ann.keyboard.type('typed at once')
    await ann.keyboard.press('Enter')
    await sees(ann, 'typed at once')
    assert.equal(await ann.evaluate(() => document.activeElement.id), 'text')
  })

  it('leaves the focus, and who reads further up, alone', async () => {
    const [ann, bob] = [await comes('Ann'), await comes('Bob', 'lobby', { viewport: { width: 400, height: 320 } })]
    await log(bob).focus()
    for (const number of [1, 2, 3, 4, 5, 6]) await says(ann, `line ${number}`)
    await sees(bob, 'line 6')
    await log(bob).evaluate(element => { element.scrollTop = 0 })
    await says(ann, 'line 7')
    await sees(bob, 'line 7')
    const focus = await bob.evaluate(() => [document.activeElement.id, document.activeElement.scrollTop])
    assert.deepEqual(focus, ['log', 0])
  })

  for (const [size, viewport] of Object.entries({
    desktop: { width: 1100, height: 680 }, phone: { width: 360, height: 640 },
  })) {
    for (const colorScheme of ['light', 'dark']) {
      it(`fits a ${size}, ${colorScheme}`, async () => {
        const door = await visit('lobby', { viewport, colorScheme })
        await capture(door, `chat-door-${size}-${colorScheme}`)
        await join(door, 'Ann')
        await connected(door)
        const bob = await comes('Bob')
        await says(bob, 'Hello! Has anybody tried to pull the plug of the server yet?')
        await says(door, 'I have. The page said 1006, waited, and came back with all of this.')
        await says(bob, 'https://example.org/' + 'very/long/'.repeat(9))
        await says(bob, 'And when you kill it politely it says 1001.')
        await sees(door, 'And when you kill it politely it says 1001.')
        await bob.getByRole('button', { name: 'Leave' }).click()
        await sees(door, 'Bob goes')
        await capture(door, `chat-${size}-${colorScheme}`)
        assert.equal(await door.evaluate(() => document.documentElement.scrollWidth), viewport.width)
        await server.end('SIGKILL')
        await status(door).getByText('Again in').waitFor()
        await capture(door, `chat-down-${size}-${colorScheme}`)
        assert.equal(await door.evaluate(() => document.documentElement.scrollHeight), viewport.height)
      })
    }
  }
})
