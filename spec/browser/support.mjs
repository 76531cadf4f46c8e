// What every file of this folder uses: the browser, pages, and programs that run beside them.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import http from 'node:http'
import path from 'node:path'
import readline from 'node:readline'
import test from 'node:test'

const { chromium } = await import(path.resolve(process.env.PLAYWRIGHT))

// ms until a test fails: far more than anything takes
export const TIMEOUT = 20000

export const it = (name, play) => test(name, { timeout: TIMEOUT }, play)

// Chromium's sandbox refuses to be set up by root. Nothing but this machine is looked up or connected to.
const ARGUMENTS = [
  '--no-sandbox', '--disable-quic', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost',
]

export const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ARGUMENTS })

/** Opens a page, which may be of its own browser context (cookies, storage): options are newContext's. */
export async function openPage(url, options = {}) {
  const context = await browser.newContext(options)
  context.setDefaultTimeout(TIMEOUT)
  const page = await context.newPage()
  await page.goto(url)
  return page
}

// Serves empty pages, on a port of its own: an origin that the servers are told of.
const empty = http.createServer((request, response) => {
  response.setHeader('Content-Type', 'text/html')
  response.end('<!doctype html><title>empty</title><link rel="icon" href="data:,">')
})
empty.listen(0, '127.0.0.1')
await once(empty, 'listening')

export const emptyOrigin = (host = '127.0.0.1') => `http://${host}:${empty.address().port}`

/** A picture of a page, to be looked at: build/browser/NAME.png. */
export const capture = (page, name) => page.screenshot({ path: `build/browser/${name}.png` })

const running = new Set()

/** A Lua program and its lines. */
export class Program {
  #lines = []
  #waiting
  #over = false
  #ended

  constructor(...words) {
    this.process = spawn(process.env.LUA, ['-e', 'io.stdout:setvbuf "line"', ...words],
      { stdio: ['ignore', 'pipe', 'inherit'] })
    running.add(this)
    this.#ended = once(this.process, 'exit').then(([status, signal]) => {
      running.delete(this)
      return signal ?? status
    })
    readline.createInterface({ input: this.process.stdout })
      .on('line', line => {
        this.#lines.push(line)
        this.#waiting?.()
      })
      .on('close', () => {
        this.#over = true
        this.#waiting?.()
      })
  }

  /** The match of the next line that the pattern matches; lines before it are passed over. */
  async line(pattern) {
    const late = AbortSignal.timeout(TIMEOUT)
    for (;;) {
      while (this.#lines.length > 0) {
        const match = pattern.exec(this.#lines.shift())
        if (match) return match
      }
      if (this.#over || late.aborted) throw new Error(`the program has printed no line like ${pattern}`)
      await new Promise(resolve => {
        this.#waiting = resolve
        late.addEventListener('abort', resolve, { once: true })
      })
    }
  }

  /** Sends it a signal; returns how it ended: its status, or the name of the signal. */
  async end(signal) {
    this.process.kill(signal)
    return this.#ended
  }

  signal(name) { this.process.kill(name) }
}

/** Nothing of this suite goes on running. */
export async function closeAll() {
  for (const program of running) await program.end('SIGKILL')
  await browser.close()
  empty.close()
}
