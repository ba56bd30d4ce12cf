// What a client is, tells and sends.

import assert from 'node:assert/strict'
import test from 'node:test'

import { follow, Page, settled } from './page.mjs'

// Where

for (const [location, url, wanted] of [
  ['https://app.test/room?x#y', undefined, 'wss://app.test/websocket'],
  ['http://app.test:8080/', undefined, 'ws://app.test:8080/websocket'],
  ['https://app.test/room', '/live', 'wss://app.test/live'],
  ['https://app.test/', 'wss://other.test:3001/ws', 'wss://other.test:3001/ws'],
  ['https://app.test/', 'https://other.test/ws', 'wss://other.test/ws'],
]) {
  test(`a page at ${location} with ${url || 'no url'} connects to ${wanted}`, () => {
    const page = new Page({ location: new URL(location) })
    page.phlows.connect({ url })
    assert.equal(page.socket.url, wanted)
  })
}

test('an address that can be none stops the client and is told', () => {
  const page = new Page()
  const client = page.phlows.connect({ url: 'ftp://other.test/' })
  assert.equal(client.state, 'stopped')
  assert.equal(page.complaints.length, 1)
  assert.equal(page.clock.pending, 0)
})

test('without a document, as in a worker, it connects all the same', () => {
  const page = new Page({ document: false, app: { websocket: {} } })
  const { client } = page.connected()
  assert.equal(client.state, 'open')
})

// States

test('the states of a life are told in their order, with the one before', () => {
  const page = new Page()
  const client = page.phlows.connect()
  const states = []
  client.on('state', (...pair) => states.push(pair.join(' after ')))
  assert.equal(client.state, 'connecting')
  page.socket.open()
  page.socket.end()
  page.clock.advance(333)
  client.close()
  assert.deepEqual(states, [
    'open after connecting',
    'waiting after open',
    'connecting after waiting',
    'stopped after connecting',
  ])
})

test('closed it stays so until it is opened again', () => {
  const page = new Page()
  const { client, told } = page.connected()
  client.close(4321, 'bye')
  client.close()
  assert.deepEqual(page.sockets[0].closed, { code: 4321, reason: 'bye' })
  assert.deepEqual(told.closes, [{ code: 4321, reason: 'bye', retry: null }])
  page.clock.advance(3_600_000)
  page.tell('online')
  assert.equal(page.sockets.length, 1)
  client.open()
  page.socket.open()
  assert.equal(client.state, 'open')
  assert.equal(told.connects, 2)
})

test('what an old socket still has to say is not heard', () => {
  const page = new Page()
  const { client, told } = page.connected()
  const old = page.socket
  client.close()
  client.open()
  old.receive({ late: 1 })
  old.end(4500)
  assert.equal(client.state, 'connecting')
  assert.deepEqual(told.messages, [])
})

test('a subscriber may close from within what it is told', () => {
  for (const type of ['connect', 'close', 'message', 'state']) {
    const page = new Page()
    const client = page.phlows.connect()
    client.on(type, () => client.close())
    page.socket.open()
    if (type === 'message') page.socket.receive({})
    if (type === 'close') page.socket.end()
    assert.equal(client.state, 'stopped', type)
    page.clock.advance(3_600_000)
    assert.equal(page.sockets.length, 1, type)
    assert.equal(page.clock.pending, 0, type)
  }
})

test('a client that was closed leaves nothing behind in its page', () => {
  const page = new Page()
  const { client } = page.connected({ probe: { ping: 1 } })
  page.goOffline()
  page.goOnline()
  client.close()
  assert.equal(page.clock.pending, 0)
})

// Auth

for (const token of ['secret', '']) {
  test(`the token ${JSON.stringify(token)} is the first message of each connection`, () => {
    const page = new Page()
    page.connected({ token })
    assert.deepEqual(page.socket.sent, [JSON.stringify({ type: 'auth', token })])
  })
}

test('without a token, or with null, no auth message is sent', () => {
  const page = new Page()
  for (const options of [undefined, {}, { token: null }]) {
    page.connected(options)
    assert.deepEqual(page.socket.sent, [])
  }
})

test('a function is asked for the token at each connection', async () => {
  const page = new Page()
  let asked = 0
  const client = page.phlows.connect({ token: async () => `t${++asked}` })
  assert.equal(page.sockets.length, 0)
  await settled()
  page.socket.open()
  page.socket.end()
  page.clock.advance(333)
  await settled()
  page.socket.open()
  assert.deepEqual(page.sockets.map((socket) => JSON.parse(socket.sent[0]).token), ['t1', 't2'])
  assert.equal(client.state, 'open')
})

test('a token that cannot be had is an attempt that failed', async () => {
  const page = new Page()
  const client = page.phlows.connect({
    token() {
      throw new Error('logged out')
    },
  })
  const told = follow(client)
  await settled()
  assert.deepEqual(told.errors, ['the token could not be had'])
  assert.equal(client.state, 'waiting')
  assert.equal(page.sockets.length, 0)
})

test('a token that comes after the client was closed opens nothing', async () => {
  const page = new Page()
  const client = page.phlows.connect({ token: async () => 'late' })
  client.close()
  await settled()
  assert.equal(page.sockets.length, 0)
})

test('a token that never comes is waited for as long as for a handshake', () => {
  const page = new Page()
  const client = page.phlows.connect({ token: () => new Promise(() => {}) })
  page.clock.advance(30000)
  assert.equal(client.state, 'waiting')
})

// Messages

test('a message is applied, then told', () => {
  const page = new Page()
  const order = []
  const { client } = page.connected()
  page.phlows.apply.on('note', (value) => order.push(`applied ${value}`))
  client.on('message', (message) => order.push(`told ${message.note}`))
  page.socket.receive({ note: 1 })
  assert.deepEqual(order, ['applied 1', 'told 1'])
})

test('with apply: false nothing is applied; with a function that is given each message', () => {
  const page = new Page()
  const seen = []
  page.phlows.apply.on('note', (value) => seen.push(value))
  page.connected({ apply: false })
  page.socket.receive({ note: 'not' })
  page.connected({ apply: (message) => seen.push(message.note + ', mine') })
  page.socket.receive({ note: 'this' })
  assert.deepEqual(seen, ['this, mine'])
})

test('what is not JSON is an error, and the connection lives on', () => {
  const page = new Page()
  const { client, told } = page.connected()
  page.socket.receive('{')
  assert.deepEqual(told.errors, ['a message is not JSON'])
  assert.equal(client.state, 'open')
})

test('an error that the server sends is told as one', () => {
  const page = new Page()
  const { told } = page.connected()
  page.socket.receive({ error: 'not possible' })
  assert.deepEqual(told.errors, ['not possible'])
  assert.deepEqual(told.messages, ['{"error":"not possible"}'])
})

test('ten thousand messages are told in the order in which they came', () => {
  const page = new Page()
  const { told } = page.connected()
  for (let n = 0; n < 10000; n += 1) page.socket.receive({ n })
  assert.deepEqual(told.messages, Array.from({ length: 10000 }, (_, n) => `{"n":${n}}`))
})

// Sending

test('what is sent while open goes out at once', () => {
  const page = new Page()
  const { client } = page.connected()
  assert.equal(client.send({ text: 'hi' }), true)
  assert.equal(client.send([1, 2]), true)
  assert.deepEqual(page.socket.sent, ['{"text":"hi"}', '[1,2]'])
})

test('only an object or an array can be sent', () => {
  const page = new Page()
  const { client } = page.connected()
  for (const value of ['text', 1, null, undefined, true]) {
    assert.throws(() => client.send(value), /takes an object or an array/)
  }
})

test('without an outbox what cannot be sent is refused', () => {
  const page = new Page()
  const client = page.phlows.connect()
  assert.equal(client.send({}), false)
  page.socket.open()
  assert.deepEqual(page.socket.sent, [])
})

test('an outbox keeps so many and refuses more; they go out after the auth message, in order', () => {
  const page = new Page()
  const { client } = page.connected({ outbox: 3, token: 't' })
  page.socket.end()
  assert.deepEqual([1, 2, 3, 4].map((n) => client.send({ n })), [true, true, true, false])
  page.clock.advance(333)
  page.socket.open()
  assert.deepEqual(page.socket.sent, ['{"type":"auth","token":"t"}', '{"n":1}', '{"n":2}', '{"n":3}'])
  page.socket.end()
  page.clock.advance(20000)
  page.socket.open()
  assert.equal(page.socket.sent.length, 1, 'sent once')
})

test('what is sent on connect goes behind what the outbox held', () => {
  const page = new Page()
  const client = page.phlows.connect({ outbox: 1 })
  client.on('connect', () => client.send({ n: 2 }))
  client.send({ n: 1 })
  page.socket.open()
  assert.deepEqual(page.socket.sent, ['{"n":1}', '{"n":2}'])
})

test('a client that has stopped keeps nothing', () => {
  const page = new Page()
  const client = page.phlows.connect({ outbox: 3 })
  client.send({ n: 1 })
  client.close()
  assert.equal(client.send({ n: 2 }), false)
  client.open()
  page.socket.open()
  assert.deepEqual(page.socket.sent, [])
})

test('while the browser closes its socket nothing is lost in it', () => {
  const page = new Page()
  const { client } = page.connected({ outbox: 1 })
  page.socket.readyState = 2
  assert.equal(client.send({ n: 1 }), true)
  assert.deepEqual(page.socket.sent, [])
})

// Half-open connections

test('a connection that is silent after the browser was offline is replaced', () => {
  const page = new Page()
  const { told } = page.connected()
  page.goOffline()
  page.goOnline()
  page.clock.advance(4999)
  assert.deepEqual(told.closes, [])
  page.clock.advance(1)
  assert.equal(told.closes[0].reason, 'silent after a pause')
  assert.ok(page.sockets[0].closed)
})

test('one that is heard of is kept', () => {
  const page = new Page()
  const { told } = page.connected()
  page.goOffline()
  page.goOnline()
  page.clock.advance(1000)
  page.socket.receive({})
  page.clock.advance(60000)
  assert.deepEqual(told.closes, [])
})

test('one that is silent after the machine slept is replaced, and nothing was sent on it', () => {
  const page = new Page()
  const { told } = page.connected()
  page.clock.sleep(600_000)
  page.clock.advance(5000)
  assert.deepEqual(told.closes.map((closed) => closed.code), [1006])
  assert.deepEqual(page.sockets[0].sent, [])
})

test('silence alone is no reason: quiet pages, seen and unseen, keep their connection', () => {
  const page = new Page()
  const { told } = page.connected()
  for (let minute = 0; minute < 120; minute += 1) {
    page.clock.advance(60000)
    page.hide(minute % 2 === 0)
    page.tell('focus')
  }
  assert.deepEqual(told.closes, [])
  assert.deepEqual(page.socket.sent, [])
})

test('a socket that was closed unseen is noticed when the page is looked at', () => {
  const page = new Page()
  const { told } = page.connected()
  page.socket.readyState = 3
  page.tell('pageshow')
  assert.equal(told.closes[0].reason, 'closed unseen')
  assert.equal(page.sockets.length, 2)
})

test('a probe is sent when a page is looked at after a silence, and an answer keeps the connection', () => {
  const page = new Page()
  const { told } = page.connected({ probe: { type: 'ping' } })
  page.hide()
  page.clock.advance(60001)
  assert.deepEqual(page.socket.sent, [])
  page.hide(false)
  page.tell('focus')
  assert.deepEqual(page.socket.sent, ['{"type":"ping"}'])
  page.socket.receive({ pong: 1 })
  page.clock.advance(5000)
  assert.deepEqual(told.closes, [])
  page.clock.advance(60001)
  page.tell('focus')
  page.clock.advance(5000)
  assert.equal(told.closes.length, 1)
})

// As a script of a page

test('a script connects when its page is parsed, as app.websocket', () => {
  const page = new Page({ tag: {} })
  assert.equal(page.sockets.length, 0)
  page.document.parsed()
  page.socket.open()
  page.context.app.websocket.send({ text: 'hi' })
  assert.deepEqual(page.socket.sent, ['{"text":"hi"}'])
})

test('a page that connects itself has one connection, and app.websocket is that', () => {
  const page = new Page({ tag: {} })
  const client = page.phlows.connect({ token: 't' })
  page.document.parsed()
  assert.equal(page.sockets.length, 1)
  assert.equal(page.context.app.websocket, client)
  page.phlows.connect({ url: '/another' })
  assert.equal(page.sockets.length, 2)
})

test('data-connect connects at once, to its address', () => {
  const page = new Page({ tag: { connect: '/live' } })
  assert.equal(page.socket.url, 'wss://app.test/live')
})

test('data-connect="false" leaves the page alone', () => {
  const page = new Page({ tag: { connect: 'false' } })
  page.document.parsed()
  assert.equal(page.sockets.length, 0)
  assert.equal(page.context.app.websocket, undefined)
})

test('an app.websocket that is there stays, and nothing connects beside it', () => {
  const own = {}
  const page = new Page({ tag: {}, app: { websocket: own } })
  page.document.parsed()
  assert.equal(page.sockets.length, 0)
  assert.equal(page.context.app.websocket, own)
})

test('other things that an app has stay', () => {
  const page = new Page({ tag: {}, app: { name: 'mine' } })
  assert.equal(page.context.app.name, 'mine')
  assert.equal(typeof page.context.app.websocket.on, 'function')
})

test('data-allow gives what the server sends its rights', () => {
  const page = new Page({ tag: { connect: '', allow: 'call' } })
  const called = []
  page.phlows.apply.calls.ring = (value) => called.push(value)
  page.socket.open()
  page.socket.receive({ call: [{ ring: 1 }, 'ring', 'toString'] })
  assert.deepEqual(called, [1, undefined])
})
