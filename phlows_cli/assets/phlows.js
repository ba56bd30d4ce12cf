// phlows.js: a page's WebSocket to a phlows broker, and the commands that come through it.
//
//   <script src="/phlows.js"></script>         window.phlows, app.websocket; connects by itself
//   import phlows from '/phlows.mjs'           the same as a module; call phlows.connect()
//
// No dependencies, no build step. What it promises: docs/client.md. HTML that a command brings goes
// into the page as it is: whoever may cast to a page is trusted by it. No text is evaluated as code.
var phlows = (function (global) {
  'use strict'

  const FIRST_DELAY = 333
  const LONGEST_DELAY = 20000
  const LASTING = 15000 // longer than limits.auth_timeout: a connection that failed at auth did not last
  const OPENING = 30000 // a handshake that takes longer is in nobody's hands any more
  const BEAT = 30000
  const ASLEEP = 150000 // hidden pages have their timers held back to one a minute; this is more
  const ANSWER_WAIT = 5000
  const LONGEST_HINT = 300
  const HIDDEN_TRIES = 6 // some 25 s: a restart is not missed by a page that nobody looks at
  const LINE_LIMIT = 1048576
  const NOTICES = 5
  const NOTICE_TIME = 8000

  const doc = global.document
  const list = (value) => (Array.isArray(value) ? value : value == null ? [] : [value])
  const isObject = (value) => typeof value === 'object' && value !== null
  const has = (object, key) => Object.prototype.hasOwnProperty.call(object, key)
  const complain = (error) => global.console.error('phlows:', error)

  // ---- Subscribers

  /** Calls `fn` until it is taken off or, when it came with an element, until that has left the page. */
  function makeEvents() {
    let entries = []
    // A function mostly refers to its element. Kept here it lives exactly as long as that: nothing leaks.
    const bound = new WeakMap()

    function functionOf(entry) {
      if (!entry.element) return entry.fn
      const element = entry.element.deref()
      if (!element) return null
      if (!element.isConnected) return entry.wasSeen ? null : undefined // undefined: not in the page yet
      entry.wasSeen = true
      return bound.get(element).get(entry)
    }

    function on(type, fn, element) {
      const entry = element ? { type, element: new WeakRef(element), wasSeen: element.isConnected } : { type, fn }
      if (element) {
        if (!bound.has(element)) bound.set(element, new Map())
        bound.get(element).set(entry, fn)
      }
      entries.push(entry)
      return () => remove(entry)
    }

    function remove(entry) {
      entries = entries.filter((other) => other !== entry)
      const element = entry.element && entry.element.deref()
      if (element) bound.get(element).delete(entry)
    }

    function off(type, fn) {
      for (const entry of entries) {
        const element = entry.element && entry.element.deref()
        const own = element ? bound.get(element).get(entry) : entry.fn
        if (entry.type === type && (!fn || own === fn)) remove(entry)
      }
    }

    function emit(type, ...values) {
      for (const entry of entries) {
        if (entry.type !== type) continue
        const fn = functionOf(entry)
        if (fn === null) remove(entry)
        else if (fn) attempt(() => fn(...values))
      }
    }

    return { on, off, emit, count: () => entries.length }
  }

  /** Runs what somebody else wrote: its failure is told and stops nothing. */
  function attempt(work) {
    try {
      return work()
    } catch (error) {
      complain(error)
    }
  }

  // ---- The connection

  /** How long to wait before an attempt: a random part of a span that grows, so that a crowd spreads. */
  function backoff(failures) {
    return Math.random() * Math.min(FIRST_DELAY * 3 ** failures, LONGEST_DELAY)
  }

  /** The milliseconds that a broker which restarts has asked for, or null. */
  function hinted(code, reason) {
    const found = code === 1012 && /come back in (\d+) s/.exec(reason)
    return found ? (Math.min(+found[1], LONGEST_HINT) + Math.random()) * 1000 : null
  }

  function socketUrl(url) {
    const whole = new URL(url || '/websocket', global.location && global.location.href)
    whole.protocol = whole.protocol.replace('http', 'ws')
    return whole.href
  }

  const isHidden = () => Boolean(doc && doc.hidden)
  const isOffline = () => Boolean(global.navigator) && global.navigator.onLine === false

  let ambient = null // app.websocket, until the page or the time says how it is to connect

  function connect(options) {
    const client = ambient || makeClient()
    ambient = null
    return client.open(options || {})
  }

  function makeClient() {
    const events = makeEvents()
    let settings = {}
    let state = 'stopped'
    let socket = null
    let round = 0 // what an earlier attempt still has to say is told by its number, and ignored
    let failures = 0
    let lateAuths = 0
    let notBefore = 0
    let waiting = [] // the outbox
    let retryTimer, openTimer, checkTimer, beatTimer, openedAt, heardAt, beatAt
    let wasOffline = false
    let listening = null

    function become(next) {
      const before = state
      state = next
      if (next !== before) events.emit('state', next, before)
    }

    function open(options) {
      settings = { ...settings, ...options }
      if (state !== 'stopped') return client
      failures = lateAuths = notBefore = 0
      listen()
      begin()
      return client
    }

    function begin() {
      const mine = ++round
      clearTimeout(retryTimer)
      become('connecting')
      if (mine !== round) return // a subscriber of the state has closed us
      openTimer = setTimeout(() => lost(mine, { code: 1006, reason: 'no answer' }), OPENING)
      if (typeof settings.token !== 'function') return dial(mine, settings.token)
      new Promise((resolve) => resolve(settings.token())).then(
        (token) => dial(mine, token),
        (error) => {
          if (mine === round) events.emit('error', { message: 'the token could not be had', error })
          lost(mine, { code: 1006, reason: 'no token' })
        },
      )
    }

    function dial(mine, token) {
      if (mine !== round) return
      try {
        socket = new WebSocket(socketUrl(settings.url))
      } catch (error) {
        stop() // the address is wrong, or a page on https may not open ws: later is no better
        complain(error)
        events.emit('error', { message: String(error.message || error), error })
        return
      }
      socket.onopen = () => mine === round && opened(token)
      socket.onmessage = (event) => mine === round && received(event.data)
      socket.onclose = (event) => lost(mine, event)
      socket.onerror = () => mine === round && events.emit('error', { message: 'the connection failed' })
    }

    function opened(token) {
      clearTimeout(openTimer)
      openedAt = heardAt = beatAt = Date.now()
      beatTimer = setInterval(beat, BEAT)
      if (token != null) socket.send(JSON.stringify({ type: 'auth', token }))
      const mine = round
      const texts = waiting
      waiting = []
      for (const text of texts) socket.send(text)
      become('open')
      if (mine === round) events.emit('connect', client)
    }

    function received(text) {
      heardAt = Date.now()
      let message
      try {
        message = JSON.parse(text)
      } catch (error) {
        events.emit('error', { message: 'a message is not JSON', error })
        return
      }
      if (settings.apply === undefined || settings.apply === true) apply(message, { allow: settings.allow })
      else if (settings.apply) attempt(() => settings.apply(message))
      events.emit('message', message)
      if (isObject(message) && 'error' in message) events.emit('error', { message: message.error, from: 'server' })
    }

    /** Lets go of the socket, whatever state the browser has it in. */
    function release() {
      round += 1
      clearTimeout(retryTimer)
      clearTimeout(openTimer)
      clearTimeout(checkTimer)
      clearInterval(beatTimer)
      checkTimer = undefined
      const old = socket
      socket = null
      return old
    }

    function lost(mine, { code, reason }) {
      if (mine !== round) return
      const lasted = state === 'open' && code !== 4001 && Date.now() - openedAt >= LASTING
      const wasOpen = state === 'open'
      const old = release()
      if (old && old.readyState < 2) old.close()
      if (lasted) failures = 0
      if (wasOpen) lateAuths = code === 4001 ? lateAuths + 1 : 0
      const isFinal = (code >= 4500 && code <= 4999) || lateAuths >= 3
      const retry = isFinal ? null : schedule(hinted(code, reason))
      const next = isFinal ? 'stopped' : isOffline() ? 'offline' : 'waiting'
      if (isFinal) unlisten()
      const now = round
      become(next)
      events.emit('close', { code, reason, retry: now === round ? retry : null })
    }

    /** Milliseconds until the next attempt; Infinity: when the page is seen again. */
    function schedule(hint) {
      const delay = hint === null ? backoff(failures) : hint
      notBefore = hint === null ? 0 : Date.now() + hint
      if (isHidden() && failures >= HIDDEN_TRIES) return Infinity
      failures += 1
      // While the browser says that it is offline attempts go on: it does not know of this very machine.
      retryTimer = setTimeout(begin, delay)
      return delay
    }

    /** Something has changed for the better: try at once, but not before a broker that asked for time. */
    function wake() {
      if (isHidden() || (state !== 'waiting' && state !== 'offline')) return
      clearTimeout(retryTimer)
      const left = notBefore - Date.now()
      if (left > 0) retryTimer = setTimeout(begin, left)
      else begin()
    }

    // Half-open connections. A page cannot send pings or see them: when a network goes away without a
    // word, a socket stays "open" until the operating system gives up, which for one that only reads is
    // never. What can be seen without any traffic of ours: that the browser went offline and came back;
    // that our own clock stood still, so the machine slept (the broker cuts who misses two pings, 50 s);
    // that readyState is past open although nobody told us (pages that come out of a browser's cache).
    // After the first two we wait a little for any message, and if nothing is heard the connection is
    // replaced: sometimes one that was alive, which costs one handshake. What cannot be seen is a path
    // that dies while the browser believes to be online and awake; for that there is the `probe` option,
    // a message that the app answers: it is sent where the above would only listen, and when a page is
    // looked at again after a silence.

    function beat() {
      const slept = Date.now() - beatAt > ASLEEP
      beatAt = Date.now()
      if (slept) doubt()
    }

    function doubt() {
      if (checkTimer !== undefined || state !== 'open') return
      const since = Date.now()
      const mine = round
      heardAt = 0
      if (settings.probe) send(settings.probe)
      checkTimer = setTimeout(() => {
        checkTimer = undefined
        if (heardAt < since) lost(mine, { code: 1006, reason: 'silent after a pause' })
      }, ANSWER_WAIT)
    }

    function look() {
      if (state === 'open' && socket.readyState > 1) lost(round, { code: 1006, reason: 'closed unseen' })
      if (state === 'open') {
        beat()
        if (settings.probe && !isHidden() && Date.now() - heardAt > 2 * BEAT) doubt()
      }
      wake()
    }

    function online() {
      if (wasOffline) doubt()
      wasOffline = false
      wake()
    }

    function offline() {
      wasOffline = true
      if (state === 'waiting') become('offline')
    }

    function listen() {
      if (!global.addEventListener) return
      const pairs = [[global, 'online', online], [global, 'offline', offline], [global, 'pageshow', look]]
      if (doc) pairs.push([global, 'focus', look], [doc, 'visibilitychange', look])
      for (const [from, type, fn] of pairs) from.addEventListener(type, fn)
      listening = () => pairs.forEach(([from, type, fn]) => from.removeEventListener(type, fn))
    }

    function unlisten() {
      if (listening) listening()
      listening = null
      waiting = []
    }

    function send(value) {
      if (!isObject(value)) throw new TypeError('phlows: send takes an object or an array')
      const text = JSON.stringify(value)
      if (state === 'open' && socket.readyState === 1) {
        socket.send(text)
        return true
      }
      if (state === 'stopped' || waiting.length >= (settings.outbox || 0)) return false
      waiting.push(text)
      return true
    }

    function stop() {
      const old = release()
      unlisten()
      become('stopped')
      return old
    }

    function close(code = 1000, reason = '') {
      if (state === 'stopped') return
      if (socket) socket.close(code, reason) // throws for a code that is none: then nothing has changed
      stop()
      events.emit('close', { code, reason, retry: null })
    }

    const client = {
      open,
      send,
      close,
      on: events.on,
      off: events.off,
      get state() {
        return state
      },
    }
    return client
  }

  // ---- Commands

  const custom = new Map()
  const loaded = new Set()
  let held = null // commands that came while a view transition has yet to make its change

  /** Carries out commands, in their order. One that fails is told and stops no other. */
  function apply(commands, options) {
    if (held) held.push([commands, options])
    else for (const one of list(commands)) if (isObject(one)) change(one, options || {})
  }

  function change(commands, options) {
    const names = commands.trans === true ? ['forward'] : list(commands.trans || []).map(String)
    if (names.length && canMove()) transition(names, () => run(commands, options))
    else run(commands, options)
  }

  const canMove = () => doc && doc.startViewTransition && !doc.hidden &&
    !global.matchMedia('(prefers-reduced-motion: reduce)').matches

  function transition(names, update) {
    const { dataset } = doc.documentElement
    held = []
    dataset.trans = names.join(' ')
    const once = () => {
      attempt(update)
      const later = held
      held = null
      // One of these may begin a transition of its own: apply() then holds the rest anew.
      for (const [commands, options] of later) apply(commands, options)
    }
    let shown
    try {
      shown = doc.startViewTransition({ update: once, types: names })
    } catch {
      shown = doc.startViewTransition(once) // browsers from before types
    }
    const end = () => dataset.trans === names.join(' ') && delete dataset.trans
    shown.ready.catch(() => {}) // skipped, for another: the change is made all the same
    shown.finished.then(end, end)
  }

  function run(commands, options) {
    for (const [name, value] of Object.entries(commands)) {
      const own = custom.get(name)
      const built = !own && has(COMMANDS, name) && doc && COMMANDS[name]
      if (own) attempt(() => own(value, commands))
      else if (built) attempt(() => built(value, { commands, allow: list(options.allow) }))
    }
  }

  /** A command of {selector: value}: `work(element, value)` for each element that matches. */
  function each(work) {
    return (value) => {
      for (const item of list(value)) {
        for (const [selector, own] of Object.entries(item)) {
          attempt(() => doc.querySelectorAll(selector).forEach((element) => work(element, own)))
        }
      }
    }
  }

  /** A command of one value or several: `work(value, context)` for each. */
  function eachOf(work) {
    return (value, context) => list(value).forEach((item) => attempt(() => work(item, context)))
  }

  /** Only where the page has said that its server may. */
  function allowed(right, work) {
    return (value, context) => {
      if (context.allow.includes(right)) work(value, context)
      else complain(`a command needs allow: ['${right}']`)
    }
  }

  const html = (value) => list(value).join('')
  const insert = (where) => each((element, value) => element.insertAdjacentHTML(where, html(value)))

  const COMMANDS = {
    inner: each((element, value) => keeping(element, element, () => (element.innerHTML = html(value)))),
    outer: each((element, value) => {
      const root = element.parentNode
      if (root) keeping(root, element, () => (element.outerHTML = html(value)))
    }),
    before: insert('beforebegin'),
    after: insert('afterend'),
    prepend: insert('afterbegin'),
    append: insert('beforeend'),
    main(value) {
      const old = doc.querySelector('main')
      const template = doc.createElement('template')
      template.innerHTML = html(value)
      const isWhole = [...template.content.children].some((child) => child.localName === 'main')
      const root = old || doc.body
      // With a <main> of its own it takes the old one's place; without, it is that one's content.
      if (old && isWhole) keeping(old.parentNode, old, () => old.replaceWith(template.content))
      else keeping(root, root, () => root.replaceChildren(template.content))
    },
    remove: eachOf((selector) => doc.querySelectorAll(selector).forEach((element) => element.remove())),
    attr: each((element, values) => {
      for (const [name, value] of Object.entries(values)) {
        if (value === null) element.removeAttribute(name)
        else element.setAttribute(name, value)
      }
    }),
    value: each((element, value) => {
      if (typeof value === 'boolean') element.checked = value
      else element.value = value === null ? '' : value
    }),
    data: each((element, values) => fill(element.dataset, values)),
    class: each((element, value) => {
      for (const name of list(value).join(' ').split(/\s+/).filter(Boolean)) {
        if (name[0] === '-') element.classList.remove(name.slice(1))
        else if (name[0] === '!') element.classList.toggle(name.slice(1))
        else element.classList.add(name)
      }
    }),
    title: eachOf((text) => (doc.title = text)),
    lang: eachOf((text) => (doc.documentElement.lang = text)),
    options: (value) => (doc.body.className = list(value).join(' ')),
    settings(value) {
      for (const key of Object.keys(doc.body.dataset)) delete doc.body.dataset[key]
      list(value).forEach((values) => fill(doc.body.dataset, values))
    },
    path: eachOf((path, { commands }) => go('pushState', path, commands)),
    pathReplace: eachOf((path, { commands }) => go('replaceState', path, commands)),
    scroll: eachOf((to) => {
      if (typeof to === 'string' && to[0] === '#') {
        const target = doc.getElementById(to.slice(1))
        if (target) target.scrollIntoView()
      } else global.scrollTo(0, +to)
    }),
    css: eachOf((href) => load('link', { rel: 'stylesheet', href })),
    js: allowed('js', eachOf((src) => load('script', { src, async: false }))),
    defer: allowed('js', eachOf((src) => load('script', { src, async: false, defer: true }))),
    location: eachOf((to) => {
      if (to === true) return global.location.reload()
      const isUrl = /^([a-z][a-z\d+.-]*:|\/\/)/i.test(to)
      const url = new URL(isUrl ? to : rooted(to), global.location.href)
      if (!/^https?:$/.test(url.protocol)) throw new Error(`location may not be ${url.protocol}`)
      global.location.assign(url.href)
    }),
    call: allowed('call', eachOf((value) => {
      const calls = isObject(value) ? Object.entries(value) : [[value]]
      for (const [name, ...values] of calls) {
        if (has(apply.calls, name)) attempt(() => apply.calls[name](...values))
      }
    })),
    error: eachOf((text) => notice({ text, kind: 'error' })),
    log: eachOf((value) => global.console.log(value)),
    toast: eachOf((value) => notice(isObject(value) ? value : { text: value })),
  }

  const rooted = (path) => '/' + String(path).replace(/^[/\\]+/, '') // never another host's

  function go(how, path, commands) {
    if (commands.state !== false) global.history[how]({}, '', rooted(path))
  }

  function fill(dataset, values) {
    for (const [key, value] of Object.entries(values)) {
      if (value === null) delete dataset[key]
      else dataset[key] = isObject(value) ? JSON.stringify(value) : value
    }
  }

  function load(tag, attributes) {
    const key = attributes.src ? 'src' : 'href'
    const url = new URL(attributes[key], doc.baseURI).href
    const isThere = [...doc.querySelectorAll(tag)].some((element) => element[key] === url)
    if (isThere || loaded.has(url)) return
    loaded.add(url)
    doc.head.append(Object.assign(doc.createElement(tag), attributes))
  }

  // ---- What a person was doing survives a change

  /**
   * Changes `element` within `root`; focus, selection, unsent text and scroll positions come back.
   * The browser does fire blur and focus for it. What was under the old nodes is found again by id, by
   * name, or by its place.
   */
  function keeping(root, element, work) {
    const active = doc.activeElement
    const field = active && active !== root && active !== doc.body && element.contains(active) && {
      find: finder(root, active),
      old: active,
      from: active.selectionStart,
      to: active.selectionEnd,
      way: active.selectionDirection,
    }
    const scrolls = [element, ...element.querySelectorAll('*')]
      .filter((one) => one.scrollTop || one.scrollLeft)
      .map((one) => [one === root ? () => root : finder(root, one), one.scrollTop, one.scrollLeft])
    work()
    if (field) refocus(field)
    for (const [find, top, left] of scrolls) {
      const found = find()
      if (found) Object.assign(found, { scrollTop: top, scrollLeft: left })
    }
  }

  function finder(root, element) {
    const { id, name, tagName } = element
    const path = []
    for (let one = element; one !== root; one = one.parentNode) {
      path.unshift([...one.parentNode.children].indexOf(one))
    }
    const isTwin = (one) => one.name === name && (!/^(radio|checkbox)$/.test(one.type) || one.value === element.value)
    return () => {
      const found = id ? doc.getElementById(id)
        : name ? [...root.querySelectorAll(tagName)].find(isTwin)
          : path.reduce((one, index) => one && one.children[index], root)
      return found && found.tagName === tagName ? found : null
    }
  }

  function refocus({ find, old, from, to, way }) {
    const found = find()
    if (!found) return
    // Text that was typed and not sent is not the server's to forget, unless it sends another.
    const isTyped = typeof old.defaultValue === 'string' && old.value !== old.defaultValue
    if (isTyped && found.type === old.type && found.defaultValue === old.defaultValue) found.value = old.value
    found.focus({ preventScroll: true })
    if (typeof from === 'number' && found.setSelectionRange) found.setSelectionRange(from, to, way || 'none')
  }

  // ---- Notices

  // :where() weighs nothing: any rule of the page wins, besides the variables.
  const STYLE = `
    :where(.phlows-notices) { position: fixed; z-index: 2147483000; display: grid; gap: .5rem;
      inset: var(--phlows-toast-inset, auto 1rem 1rem auto); max-width: min(24rem, 100vw - 2rem); }
    :where(.phlows-toast) { display: flex; gap: .75rem; align-items: start; justify-content: space-between;
      padding: .7rem .9rem; border-radius: var(--phlows-toast-radius, .5rem); overflow-wrap: anywhere;
      font: var(--phlows-toast-font, inherit); box-shadow: var(--phlows-toast-shadow, 0 2px 12px #0005);
      color: var(--phlows-toast-color, #fff); background: var(--phlows-toast-background, #23262d); }
    :where(.phlows-toast[data-kind=error]) { background: var(--phlows-toast-error, #a3161f); }
    :where(.phlows-toast button) { all: unset; cursor: pointer; padding: 0 .4rem; }
    :where(.phlows-toast button:focus-visible) { outline: 2px solid; }`

  let region = null

  /** Where notices stand. A screen reader only tells what enters a region that it knew before. */
  function noticeRegion() {
    if (!doc || !doc.body || (region && region.isConnected)) return region
    if (!region) {
      region = doc.createElement('div')
      region.className = 'phlows-notices'
      region.setAttribute('role', 'region')
      region.setAttribute('aria-label', 'Notifications')
      region.setAttribute('aria-live', 'polite')
      dress()
      doc.addEventListener('keydown', (event) => {
        if (event.key === 'Escape' && !event.defaultPrevented && region.lastElementChild) dismiss(region.lastElementChild)
      })
    }
    doc.body.append(region)
    return region
  }

  function dress() {
    try {
      const sheet = new CSSStyleSheet() // unlike a <style>, fine with any Content-Security-Policy
      sheet.replaceSync(STYLE)
      doc.adoptedStyleSheets = [...doc.adoptedStyleSheets, sheet]
    } catch {
      doc.head.append(Object.assign(doc.createElement('style'), { textContent: STYLE }))
    }
  }

  /** Text, never HTML; an error stays until it is dismissed. */
  function notice({ text, kind = 'info', seconds }) {
    const toast = doc.createElement('div')
    const words = doc.createElement('span')
    const button = doc.createElement('button')
    toast.className = 'phlows-toast'
    toast.dataset.kind = kind
    if (kind === 'error') toast.setAttribute('role', 'alert')
    words.textContent = text
    button.type = 'button'
    button.textContent = '×'
    button.setAttribute('aria-label', 'Dismiss')
    button.onclick = () => dismiss(toast)
    toast.append(words, button)
    const place = noticeRegion()
    place.append(toast)
    while (place.children.length > NOTICES) place.firstElementChild.remove()
    const time = seconds === undefined ? NOTICE_TIME : seconds * 1000
    if (time && (kind !== 'error' || seconds)) fade(toast, time)
  }

  /** Takes a notice away, later if somebody is at it. */
  function fade(toast, time) {
    setTimeout(() => {
      if (toast.isConnected && (doc.hidden || toast.matches(':hover, :focus-within'))) fade(toast, time)
      else toast.remove()
    }, time)
  }

  function dismiss(toast) {
    const next = toast.contains(doc.activeElement) && (toast.previousElementSibling || toast.nextElementSibling)
    toast.remove()
    if (next) next.querySelector('button').focus() // or the keyboard's place in the page is lost
  }

  /** Registers a command of the page's own; returns what takes it away. */
  apply.on = (name, fn) => {
    custom.set(name, fn)
    return () => custom.get(name) === fn && custom.delete(name)
  }
  apply.calls = {}

  // ---- Streams

  function bounded(line, limit) {
    if (line.length > limit) throw new RangeError(`a line is over ${limit} characters`)
    return line
  }

  /** Bytes in any pieces -> whole lines, of a bounded length. */
  function lineReader(limit, onLine) {
    const decoder = new TextDecoder()
    let rest = ''
    return (bytes) => {
      const lines = (bytes ? decoder.decode(bytes, { stream: true }) : decoder.decode() + '\n').split('\n')
      lines[0] = rest + lines[0]
      rest = lines.pop()
      for (const line of lines) if (bounded(line, limit).trim()) onLine(line)
      bounded(rest, limit)
    }
  }

  /** Requests a URL and applies the lines of the answer as they arrive. */
  function stream(url, options) {
    const { apply: own, allow, lineLimit = LINE_LIMIT, signal, ...init } = options || {}
    const events = makeEvents()
    const aborter = new AbortController()
    const abort = () => aborter.abort(signal && signal.reason)
    if (signal && signal.aborted) abort()
    if (signal) signal.addEventListener('abort', abort)
    const promise = follow(url, request(init, aborter.signal), { own, allow, lineLimit, events })
      .catch((error) => {
        const isAbort = aborter.signal.aborted
        events.emit(isAbort ? 'abort' : 'error', isAbort ? undefined : { message: error.message, error })
        abort() // what went wrong in the middle must not go on in the background
        throw error
      })
      .finally(() => signal && signal.removeEventListener('abort', abort))
    promise.on = (type, fn, element) => {
      promise.catch(() => {}) // told to a subscriber, it is no unhandled rejection
      return events.on(type, fn, element)
    }
    return Object.assign(promise, { abort })
  }

  /** What fetch() takes; a body that is a plain object or an array goes as JSON. */
  function request(init, signal) {
    const headers = new Headers(init.headers)
    if (!headers.has('accept')) headers.set('accept', 'application/x-ndjson')
    let { body } = init
    if (Array.isArray(body) || (isObject(body) && Object.getPrototypeOf(body) === Object.prototype)) {
      body = JSON.stringify(body)
      if (!headers.has('content-type')) headers.set('content-type', 'application/json')
    }
    return { method: body == null ? 'GET' : 'POST', ...init, body, headers, signal }
  }

  async function follow(url, init, { own, allow, lineLimit, events }) {
    noticeRegion()
    const answer = await global.fetch(url, init)
    const { status } = answer
    const kind = answer.headers.get('content-type') || ''
    const ended = (lines) => {
      events.emit('end', { status, lines })
      return { status, lines }
    }
    if (!answer.ok && !kind.includes('json')) {
      if (answer.body) answer.body.cancel().catch(() => {})
      events.emit('error', { message: `answered ${status}`, status })
      return ended(0)
    }
    let lines = 0
    const take = lineReader(lineLimit, (line) => {
      lines += 1
      attemptLine(line, status, own, allow, events)
    })
    const reader = answer.body ? answer.body.getReader() : null
    for (let piece = reader && (await reader.read()); piece && !piece.done; piece = await reader.read()) take(piece.value)
    take()
    return ended(lines)
  }

  function attemptLine(line, status, own, allow, events) {
    let value
    try {
      value = JSON.parse(line)
    } catch (error) {
      events.emit('error', { message: 'a line is not JSON', error })
      return
    }
    if (own === undefined || own === true) apply(value, { allow })
    else if (own) attempt(() => own(value))
    events.emit('message', value)
    if (isObject(value) && 'error' in value) events.emit('error', { message: value.error, status, from: 'server' })
  }

  // ---- In a page, as a classic script

  /**
   * Gives the page app.websocket, unless it has one. It connects at once when the tag has data-connect
   * (whose value is the address, if any), else when the page is parsed; the page's own call of
   * phlows.connect() comes before that and is the same client. data-connect="false" leaves it alone.
   */
  function install() {
    const { connect: when, allow } = (doc && doc.currentScript && doc.currentScript.dataset) || {}
    // `app` by its name: a page's own may be a const, which is no property of window.
    const owner = typeof app === 'object' && app ? app : (global.app = {})
    if (when === 'false' || (owner.websocket && when === undefined)) return
    const client = makeClient()
    if (!owner.websocket) owner.websocket = client
    const options = { url: when, allow: allow && allow.split(/[\s,]+/) }
    ambient = client
    const start = () => ambient === client && connect(options)
    if (when !== undefined || !doc || doc.readyState !== 'loading') start()
    else doc.addEventListener('DOMContentLoaded', start)
  }

  if (doc && doc.readyState === 'loading') doc.addEventListener('DOMContentLoaded', noticeRegion)
  else noticeRegion()

  return { connect, apply, fetch: stream, install }
})(globalThis)

// The line below is for classic scripts; in /phlows.mjs the broker puts the exports of a module there.
phlows.install()
