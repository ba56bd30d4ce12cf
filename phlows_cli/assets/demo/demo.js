// The page of `phlows demo`. What arrives is applied by phlows.js: this file only sends, and shows
// what goes by. It builds no HTML: the app does, which escapes what people type.

import phlows from '/phlows.mjs'

const FRAMES_SHOWN = 80
const FRAME_TEXT = 600
const MESSAGES_SHOWN = 200
const STATES = { open: 'live', waiting: 'reconnecting', stopped: 'refused' }

const part = id => document.getElementById(id)
const anyOf = words => words[Math.floor(Math.random() * words.length)]

// Who this tab is

/** What the session has under a key; made, and kept, when there is nothing. */
function kept(key, make) {
  const value = sessionStorage.getItem(key) ?? make()
  sessionStorage.setItem(key, value)
  return value
}

const friendlyName = () => [
  anyOf(['Amber', 'Brisk', 'Calm', 'Dusky', 'Early', 'Fair', 'Gentle', 'Quiet', 'Swift', 'Warm']),
  anyOf(['Badger', 'Crane', 'Finch', 'Heron', 'Lynx', 'Marten', 'Otter', 'Puffin', 'Wren', 'Yak']),
].join(' ')

const randomToken = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), byte => byte.toString(16).padStart(2, '0')).join('')

const token = kept('token', randomToken)
part('name').value = kept('name', friendlyName)

// The socket

const ws = phlows.connect({ token })

function send(message) {
  if (ws.state !== 'open') return false
  ws.send(message)
  show('out', message)
  return true
}

ws.on('connect', () => {
  show('out', { type: 'auth', token: '(yours)' })  // phlows.js has sent it: the first message says who we are
  send({ type: 'join', name: part('name').value })
})
ws.on('message', message => show('in', message))
ws.on('state', state => {
  document.body.dataset.state = state
  part('state').textContent = STATES[state] ?? state
})

// What people do

/** Sends what a form says, when it says something. */
function onSubmit(id, message, after = () => {}) {
  part(id).addEventListener('submit', event => {
    event.preventDefault()
    const fields = Object.fromEntries(new FormData(event.target))
    const text = Object.values(fields)[0].trim()
    if (text && send({ ...message, ...fields })) after(text)
  })
}

onSubmit('say', { type: 'say' }, () => { part('say-text').value = '' })
onSubmit('cast', { type: 'cast' })
onSubmit('rename', { type: 'rename' }, name => {
  sessionStorage.setItem('name', name)
  part('name').blur()
})

part('poll').addEventListener('click', event => {
  const choice = event.target.closest('button')?.value
  if (choice) send({ type: 'vote', choice })
})

// The job: an HTTP response whose lines are applied as they come

let running = null

part('job-run').addEventListener('click', async () => {
  if (running) return running.abort()
  part('job-run').textContent = 'Stop'
  running = phlows.fetch(document.body.dataset.job, { method: 'POST' })
  running.on('message', line => show('http', line))
  running.on('abort', () => { part('job-step').textContent = 'Stopped.' })
  running.on('error', () => { part('job-step').textContent = 'It could not be finished.' })
  // An answer without a length ends like one that was cut off: only its last line tells them apart.
  running.on('end', () => {
    if (part('job-bar').value < 100) part('job-step').textContent = 'It could not be finished.'
  })
  await running.catch(() => {})  // told by the events
  running = null
  part('job-run').textContent = 'Run again'
})

// The frames that go by

const WAYS = { in: '\u2193 in', out: '\u2191 out', http: '\u2193 http' }
const counts = { in: 0, out: 0 }
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' })

function show(way, message) {
  if (way in counts) part(way).textContent = ++counts[way]
  if (part('pause').getAttribute('aria-pressed') === 'true') return
  const text = JSON.stringify(message)
  const row = document.createElement('li')
  row.className = way
  row.append(
    cell('span', WAYS[way]),
    cell('time', clock.format()),
    cell('code', text.length > FRAME_TEXT ? `${text.slice(0, FRAME_TEXT)}\u2026` : text),
  )
  part('frames').prepend(row)
  while (part('frames').childElementCount > FRAMES_SHOWN) part('frames').lastElementChild.remove()
}

function cell(name, text) {
  const element = document.createElement(name)
  element.textContent = text  // never innerHTML: frames hold what people typed
  return element
}

part('pause').addEventListener('click', event => {
  const isPaused = event.target.getAttribute('aria-pressed') === 'true'
  event.target.setAttribute('aria-pressed', String(!isPaused))
})

// The chat stays at its end, unless somebody has scrolled up to read

let isAtEnd = true
part('talk').addEventListener('scroll', () => {
  const { scrollHeight, scrollTop, clientHeight } = part('talk')
  isAtEnd = scrollHeight - scrollTop - clientHeight < 60
})
new MutationObserver(() => {
  while (part('messages').childElementCount > MESSAGES_SHOWN) part('messages').firstElementChild.remove()
  if (isAtEnd) part('talk').scrollTop = part('talk').scrollHeight
}).observe(part('messages'), { childList: true })

part('command').textContent =
  `phlows cast --url ${location.port} --host ${location.hostname} --toast 'Hello, tabs'`
