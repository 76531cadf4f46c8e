// The page of examples/ticker: what is published moves its chart.

import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe } from 'node:test'
import { capture, it, openPage, Program } from './support.mjs'

let server, address

async function start(where = '127.0.0.1:0') {
  server = new Program('examples/ticker/server.lua', where)
  address = (await server.line(/page at http:\/\/(\S+?)\//))[1]
}

async function visit(options) {
  const page = await openPage(`http://${address}/`, options)
  await live(page)
  return page
}

const live = page => page.getByText('Live').waitFor()
const line = page => page.locator('#line').getAttribute('d')
const symbolIs = (page, name) => page.getByRole('img', { name: new RegExp(`^${name}, the last 60 s`) }).waitFor()

// Until the chart has been drawn again.
async function moves(page) {
  const before = await line(page)
  await page.waitForFunction(d => document.getElementById('line').getAttribute('d') !== d, before)
}

beforeEach(() => start())
afterEach(() => server.end('SIGKILL'))

describe('the page of examples/ticker', () => {
  it('draws what comes, and shows another symbol when it is chosen', async () => {
    const page = await visit()
    await symbolIs(page, 'MOON')
    await moves(page)
    assert.equal((await line(page)).split('L').length, 240)
    await page.getByLabel('TIDE').check()
    await symbolIs(page, 'TIDE')
    await moves(page)
    await page.context().close()
  })

  it('comes back to a server that has restarted, with its symbol', async () => {
    const page = await visit()
    await page.getByLabel('STAR').check()
    await symbolIs(page, 'STAR')
    assert.equal(await server.end('SIGTERM'), 0)
    await page.getByText(/^1001|^1006/).waitFor()
    await start(address)
    await live(page)
    await moves(page)
    await symbolIs(page, 'STAR')
    await page.context().close()
  })

  for (const [size, viewport] of Object.entries({
    desktop: { width: 1100, height: 680 }, phone: { width: 360, height: 640 },
  })) {
    for (const colorScheme of ['light', 'dark']) {
      it(`fits a ${size}, ${colorScheme}`, async () => {
        const page = await visit({ viewport, colorScheme })
        await symbolIs(page, 'MOON')
        await capture(page, `ticker-${size}-${colorScheme}`)
        assert.deepEqual(await page.evaluate(() => {
          const { scrollWidth, scrollHeight } = document.documentElement
          return { width: scrollWidth, height: scrollHeight }
        }), viewport)
        const [chart, scale] = await page.evaluate(() =>
          ['chart', 'scale'].map(id => document.getElementById(id).getBoundingClientRect().height))
        assert.ok(scale > chart && scale < chart + 30, `the chart is ${chart} high, its scale ${scale}`)
        await page.context().close()
      })
    }
  }
})
