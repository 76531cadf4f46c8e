// A live chart of what the server publishes about one symbol.
'use strict'

const $ = id => document.getElementById(id)
const WIDTH = 1000, HEIGHT = 400 // of the chart's viewBox

let ws          // the connection, or null while there is none
let failures = 0
let kept = 1    // prices that the chart has room for
let interval = 1 // s between two of them
let prices = []

const chosen = () => document.querySelector('[name="symbol"]:checked').value

// ---- drawing

function draw() {
  const low = Math.min(...prices), high = Math.max(...prices)
  const margin = (high - low) * .08 || 1
  const bottom = low - margin, top = high + margin
  const points = prices.map((price, i) =>
    `${(i / (kept - 1) * WIDTH).toFixed(1)} ${((top - price) / (top - bottom) * HEIGHT).toFixed(1)}`)
  const right = ((prices.length - 1) / (kept - 1) * WIDTH).toFixed(1)
  $('line').setAttribute('d', 'M' + points.join('L'))
  $('area').setAttribute('d', `M0 ${HEIGHT}L${points.join('L')}L${right} ${HEIGHT}Z`)
  for (const [i, tick] of [...$('scale').children].entries()) {
    tick.textContent = (top - (top - bottom) * i / 4).toFixed(2)
  }

  const latest = prices.at(-1), change = (latest / prices[0] - 1) * 100
  $('price').textContent = latest.toFixed(2)
  $('change').textContent = `${change < 0 ? '▼' : '▲'} ${Math.abs(change).toFixed(2)} %`
  $('change').dataset.way = change < 0 ? 'down' : 'up'
  $('summary').textContent =
    `${chosen()}, the last ${Math.round(prices.length * interval)} s: between ${low.toFixed(2)} and ${high.toFixed(2)}`
}

function receive(message) {
  if (message.symbol !== chosen()) return // published before the server heard of another choice
  if (message.prices) {
    ({ prices, interval } = message)
    kept = prices.length
  } else {
    prices.push(message.price)
    prices.splice(0, prices.length - kept)
  }
  draw()
}

// ---- the connection

function show(state, text) {
  $('status').dataset.state = state
  $('status').textContent = text
}

function connect() {
  ws = new WebSocket(new URL('prices', location.href.replace(/^http/, 'ws')))
  ws.onopen = () => {
    failures = 0
    show('open', 'Live')
    ws.send(chosen())
  }
  ws.onmessage = ({ data }) => receive(JSON.parse(data))
  ws.onclose = ({ code, reason }) => {
    ws = null
    // at random up to a bound that doubles, lest all pages come back at the same moment
    const pause = 500 + Math.random() * Math.min(30000, 500 * 2 ** failures++)
    show('down', `${code}${reason && ': ' + reason}. Again in ${Math.ceil(pause / 1000)} s.`)
    setTimeout(connect, pause)
  }
}

document.querySelector('fieldset').addEventListener('change', () => {
  if (ws?.readyState === WebSocket.OPEN) ws.send(chosen())
})

connect()
