// The chat's page. It comes back when its connection ends, unless there is no use in it, and goes on where it was.
'use strict'

const $ = id => document.getElementById(id)

// ---- what close codes say, and whether to come back

const CODES = {
  1000: 'closed',
  1001: 'the server goes away',
  1002: 'protocol error',
  1003: 'not understood',
  1005: 'closed without a code',
  1006: 'connection lost, or refused',
  1007: 'not valid text',
  1008: 'against the rules of this server',
  1009: 'message too long',
  1011: 'the server made a mistake',
  1012: 'the server restarts',
  1013: 'the server is busy, try later',
  1014: 'bad gateway',
  4400: 'not a name',
  4401: 'not let in, or not any more',
  4408: 'open elsewhere',
  4409: 'this name is taken',
}

const COMES_BACK = new Set([1001, 1005, 1006, 1011, 1012, 1013, 1014])
const AT_THE_DOOR = new Set([4400, 4409]) // another name may do

const inWords = ({ code, reason }) => `${code}: ${reason || CODES[code] || 'closed by the server'}`

// ---- pauses: never shorter than the shortest, lest a page hammers; else at random up to a bound that doubles, lest
// all pages come back at the same moment

const SHORTEST = 500, LONGEST = 30000 // ms
const STABLE = 10000 // ms that a connection lasts for the pauses to begin anew

function randomPause(failures) {
  const bound = Math.min(LONGEST, SHORTEST * 2 ** (failures + 1))
  return SHORTEST + Math.random() * (bound - SHORTEST)
}

// ---- who we are: outlives a reload, ends with the tab

const me = {
  get name() { return sessionStorage.getItem('name') },
  set name(name) { sessionStorage.setItem('name', name) },
  // a secret, with which this page takes its own name over from a connection that the server still believes in
  get key() {
    let key = sessionStorage.getItem('key')
    if (!key) {
      key = Array.from(crypto.getRandomValues(new Uint32Array(4)), each => each.toString(36)).join('')
      sessionStorage.setItem('key', key)
    }
    return key
  },
}

let room          // where we are, or null
let ws            // the connection, or null while there is none
let since         // id of the last message that is shown
let failures      // since a connection was stable
let timer         // until the next attempt
let opened        // when the connection did
const people = new Set()

// ---- what is shown. Only ever as text: nothing that anybody says is HTML.

function element(name, className, text = '') {
  const made = document.createElement(name)
  made.className = className
  made.textContent = text
  return made
}

// Scrolls along only if the last line was in sight: who reads further up is left alone.
function addToLog(line) {
  const log = $('log')
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40
  log.append(line)
  if (atEnd) log.scrollTop = log.scrollHeight
}

function showMessage({ id, time, name, text }) {
  since = id
  const at = new Date(time * 1000)
  const stamp = element('time', '', at.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }))
  stamp.dateTime = at.toISOString()
  const by = element('div', 'by')
  by.append(element('b', '', name), stamp)
  const message = element('div', name === me.name ? 'message own' : 'message')
  message.append(by, element('div', 'text', text))
  addToLog(message)
}

const showEvent = text => addToLog(element('p', 'event', text))

function showPeople() {
  $('here-title').textContent = `${people.size} here`
  $('people').replaceChildren(...[...people].sort().map(name => element('li', '', name)))
}

function showState(state, text) {
  $('connection').dataset.state = state
  $('status').textContent = text
  $('now').hidden = state !== 'down'
}

const receive = {
  welcome(message) {
    people.clear()
    for (const name of message.people) people.add(name)
    showPeople()
  },
  message: showMessage,
  came({ name }) {
    people.add(name)
    showPeople()
    showEvent(`${name} comes`)
  },
  went({ name, why }) {
    people.delete(name)
    showPeople()
    showEvent(why ? `${name} is lost: ${why}` : `${name} goes`)
  },
}

// ---- the connection

function connect() {
  clearTimeout(timer)
  timer = null
  showState('connecting', 'Connecting…')
  const url = new URL('room/' + encodeURIComponent(room), location.href.replace(/^http/, 'ws'))
  url.hash = ''
  url.search = new URLSearchParams({ name: me.name, key: me.key, since })
  ws = new WebSocket(url)
  ws.onopen = () => {
    opened = Date.now()
    showState('open', `Connected as ${me.name}`)
  }
  ws.onmessage = ({ data }) => {
    const message = JSON.parse(data)
    receive[message.type]?.(message)
  }
  ws.onclose = ended
}

function ended(event) {
  if (opened && Date.now() - opened > STABLE) failures = 0
  ws = opened = null
  if (AT_THE_DOOR.has(event.code)) {
    goOut(inWords(event))
  } else if (COMES_BACK.has(event.code)) {
    comeBack(event)
  } else {
    showState('down', `Closed for good. ${inWords(event)}`)
  }
}

function comeBack(event) {
  const pause = randomPause(failures++)
  showState('down', `${inWords(event)}. Again in ${Math.ceil(pause / 1000)} s.`)
  timer = setTimeout(connect, pause)
}

// ---- in and out

function goIn() {
  $('door').hidden = true
  $('refused').hidden = true
  $('chat').hidden = false
  $('title').textContent = document.title = room
  $('log').replaceChildren()
  people.clear()
  showPeople()
  since = failures = 0
  connect()
}

function goOut(why) {
  clearTimeout(timer)
  timer = null
  if (ws) {
    ws.onclose = ws.onmessage = null
    ws.close(1000)
    ws = null
  }
  sessionStorage.removeItem('joined')
  $('chat').hidden = true
  $('door').hidden = false
  document.title = 'Chat'
  $('refused').textContent = why ?? ''
  $('refused').hidden = !why
  $('name').focus()
}

$('join').addEventListener('submit', event => {
  event.preventDefault()
  me.name = $('name').value.trim()
  room = $('room').value.trim()
  if (!me.name || !room) return
  history.replaceState(null, '', '#' + encodeURIComponent(room))
  sessionStorage.setItem('joined', room)
  goIn()
  $('text').focus()
})

// What cannot be sent stays where it was typed.
$('say').addEventListener('submit', event => {
  event.preventDefault()
  const text = $('text').value.trim()
  if (!text || ws?.readyState !== WebSocket.OPEN) return
  ws.send(JSON.stringify({ text }))
  $('text').value = ''
})

$('leave').addEventListener('click', () => goOut())
$('now').addEventListener('click', connect)
addEventListener('online', () => { if (timer) connect() })
document.addEventListener('visibilitychange', () => { if (timer && !document.hidden) connect() })

const wanted = decodeURIComponent(location.hash.slice(1))
$('name').value = me.name ?? ''
$('room').value = wanted || 'lobby'
if (me.name && wanted && sessionStorage.getItem('joined') === wanted) {
  room = wanted
  goIn()
}
