// A page without a browser: phlows.js in a context of its own, with a clock that the test turns, sockets
// that the test answers, and no more of a document than the logic asks for.

import { setMaxListeners } from 'node:events'
import { readFileSync } from 'node:fs'
import vm from 'node:vm'

const SOURCE = readFileSync(new URL('../../phlows_cli/assets/phlows.js', import.meta.url), 'utf8')
const SCRIPT = new vm.Script(SOURCE, { filename: 'phlows.js' })

/** Lets promises that are settled be told. */
export const settled = () => new Promise((resolve) => setImmediate(resolve))

class Clock {
  now = 1_000_000
  #timers = new Map()
  #last = 0

  add(fn, delay, every) {
    this.#timers.set(++this.#last, { fn, at: this.now + Math.max(0, delay || 0), every })
    return this.#last
  }

  remove(id) {
    this.#timers.delete(id)
  }

  get pending() {
    return this.#timers.size
  }

  /** Turns the clock; what is due runs in its order, at its time. */
  advance(milliseconds) {
    const end = this.now + milliseconds
    for (let next = this.#next(end); next; next = this.#next(end)) {
      const [id, timer] = next
      this.now = Math.max(this.now, timer.at)
      if (timer.every) timer.at = this.now + timer.every
      else this.#timers.delete(id)
      timer.fn()
    }
    this.now = end
  }

  /** The machine sleeps: time passes and no timer runs until it wakes. */
  sleep(milliseconds) {
    this.now += milliseconds
    this.advance(0)
  }

  #next(end) {
    const due = [...this.#timers].filter(([, timer]) => timer.at <= end)
    return due.sort((a, b) => a[1].at - b[1].at || a[0] - b[0])[0]
  }
}

export class Page extends EventTarget {
  sockets = []
  complaints = []
  random = Math.random

  constructor({ document: withDocument = true, tag = { connect: 'false' }, ...globals } = {}) {
    super()
    setMaxListeners(0, this) // a thousand clients are no leak here
    this.clock = new Clock()
    this.document = withDocument ? makeDocument(tag) : undefined
    this.navigator = { onLine: true }
    const given = withDocument ? { document: this.document } : {}
    this.context = vm.createContext({ ...this.#globals(), ...given, ...globals })
    SCRIPT.runInContext(this.context)
    this.phlows = this.context.phlows
    if (withDocument) this.document.currentScript = null
  }

  #globals() {
    const { clock } = this
    const page = this
    class FakeDate extends Date {
      static now = () => clock.now
    }
    class Socket extends FakeSocket {
      constructor(url) {
        super(url)
        page.sockets.push(this)
      }
    }
    return {
      WebSocket: Socket,
      Date: FakeDate,
      Math: Object.create(Math, { random: { value: () => page.random() } }),
      setTimeout: (fn, delay) => clock.add(fn, delay),
      clearTimeout: (id) => clock.remove(id),
      setInterval: (fn, delay) => clock.add(fn, delay, delay),
      clearInterval: (id) => clock.remove(id),
      addEventListener: (...args) => page.addEventListener(...args),
      removeEventListener: (...args) => page.removeEventListener(...args),
      console: { error: (...what) => page.complaints.push(what), log: () => {} },
      location: new URL('https://app.test/room'),
      navigator: page.navigator,
      ...{ URL, TextDecoder, Headers, AbortController },
    }
  }

  get socket() {
    return this.sockets.at(-1)
  }

  tell(type) {
    this.dispatchEvent(new Event(type))
  }

  hide(hidden = true) {
    this.document.hidden = hidden
    this.document.dispatchEvent(new Event('visibilitychange'))
  }

  goOffline() {
    this.navigator.onLine = false
    this.tell('offline')
  }

  goOnline() {
    this.navigator.onLine = true
    this.tell('online')
  }

  /** A client whose socket is open, and what it has told its subscribers since it was made. */
  connected(options) {
    const client = this.phlows.connect(options)
    const told = follow(client)
    this.socket.open()
    return { client, told }
  }
}

/** What a client tells: lists of states, closes, errors and messages, as they come. */
export function follow(client) {
  const told = { states: [], closes: [], errors: [], messages: [], connects: 0 }
  client.on('state', (state) => told.states.push(state))
  client.on('close', (closed) => told.closes.push({ ...closed }))
  client.on('error', (failure) => told.errors.push(failure.message))
  client.on('message', (message) => told.messages.push(JSON.stringify(message)))
  client.on('connect', () => (told.connects += 1))
  return told
}

class FakeSocket {
  readyState = 0
  sent = []
  closed = null

  constructor(url) {
    if (!/^wss?:/.test(url)) throw new SyntaxError(`not a WebSocket's address: ${url}`)
    this.url = url
  }

  send(text) {
    if (this.readyState !== 1) throw new Error('sent while not open')
    this.sent.push(text)
  }

  close(code, reason) {
    this.readyState = 2
    this.closed = { code, reason }
  }

  open() {
    this.readyState = 1
    this.onopen({})
  }

  receive(value) {
    this.onmessage({ data: typeof value === 'string' ? value : JSON.stringify(value) })
  }

  /** The connection ends, as a browser tells it. */
  end(code = 1006, reason = '') {
    this.readyState = 3
    if (code === 1006) this.onerror({})
    this.onclose({ code, reason })
  }
}

function makeDocument(tag) {
  const made = new EventTarget()
  setMaxListeners(0, made)
  return Object.assign(made, {
    hidden: false,
    readyState: 'loading',
    body: null,
    currentScript: tag && { dataset: tag },
    parsed() {
      made.readyState = 'interactive'
      made.dispatchEvent(new Event('DOMContentLoaded'))
    },
  })
}
