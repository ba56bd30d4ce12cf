// When a client comes back, and when it does not.

import assert from 'node:assert/strict'
import test from 'node:test'

import { follow, Page } from './page.mjs'

/** The waits that a client tells, one for each connection that fails. */
function waits(page, count) {
  const { told } = page.connected()
  for (let n = 0; n < count; n += 1) {
    page.socket.end()
    page.clock.advance(told.closes.at(-1).retry)
  }
  return told.closes.map((closed) => closed.retry)
}

test('each wait may be three times as long as the one before, up to 20 seconds', () => {
  const page = new Page()
  page.random = () => 1
  assert.deepEqual(waits(page, 7), [333, 999, 2997, 8991, 20000, 20000, 20000])
})

test('a wait is any part of its span, from nothing on', () => {
  const page = new Page()
  page.random = () => 0
  assert.deepEqual(waits(page, 3), [0, 0, 0])
})

test('the next attempt is made when the wait is over and not before', () => {
  const page = new Page()
  page.random = () => 0.5
  page.connected()
  page.socket.end()
  page.clock.advance(166)
  assert.equal(page.sockets.length, 1)
  page.clock.advance(1)
  assert.equal(page.sockets.length, 2)
})

test('a thousand clients that are cut together come back spread over the whole span', () => {
  const page = new Page()
  const all = Array.from({ length: 1000 }, () => page.connected())
  page.sockets.slice().forEach((socket) => socket.end())
  const first = all.map(({ told }) => told.closes[0].retry)
  assert.ok(Math.max(...first) <= 333)
  const tenths = Array.from({ length: 10 }, () => 0)
  first.forEach((wait) => (tenths[Math.min(9, Math.floor(wait / 33.3))] += 1))
  // 100 are expected in each; 50 is five standard deviations away.
  tenths.forEach((count) => assert.ok(count > 50 && count < 150, String(tenths)))
})

test('a connection that lasted begins the waits anew', () => {
  const page = new Page()
  page.random = () => 1
  const { told } = page.connected()
  for (let n = 0; n < 4; n += 1) {
    page.socket.end()
    page.clock.advance(20000)
  }
  page.socket.open()
  page.clock.advance(15000)
  page.socket.end()
  assert.equal(told.closes.at(-1).retry, 333)
})

test('a connection that is cut at once does not', () => {
  const page = new Page()
  page.random = () => 1
  const { told } = page.connected()
  page.clock.advance(100)
  page.socket.end(1011)
  page.clock.advance(20000)
  page.socket.open()
  page.clock.advance(100)
  page.socket.end(1011)
  assert.deepEqual(told.closes.map((closed) => closed.retry), [333, 999])
})

test('a handshake that nobody answers is given up after 30 seconds', () => {
  const page = new Page()
  const client = page.phlows.connect()
  const told = follow(client)
  page.clock.advance(29999)
  assert.deepEqual(told.closes, [])
  page.clock.advance(1)
  assert.equal(told.closes[0].code, 1006)
  assert.ok(page.sockets[0].closed)
})

for (const code of [4500, 4501, 4502, 4750, 4999]) {
  test(`after ${code} it does not come back`, () => {
    const page = new Page()
    const { client, told } = page.connected({ outbox: 5 })
    page.socket.end(code, 'refused')
    assert.equal(client.state, 'stopped')
    assert.deepEqual(told.closes, [{ code, reason: 'refused', retry: null }])
    page.clock.advance(3_600_000)
    page.tell('online')
    page.tell('focus')
    page.hide(false)
    assert.equal(page.sockets.length, 1)
    assert.equal(page.clock.pending, 0)
  })
}

for (const code of [1000, 1001, 1006, 1009, 1011, 1012, 1013, 4000, 4001, 4003, 4004, 4499, 5000]) {
  test(`after ${code} it does`, () => {
    const page = new Page()
    const { client } = page.connected()
    page.socket.end(code)
    assert.equal(client.state, 'waiting')
    page.clock.advance(20000)
    assert.equal(page.sockets.length, 2)
  })
}

test('three auths in a row that came too late are the last', () => {
  const page = new Page()
  const { client, told } = page.connected()
  for (let n = 0; n < 2; n += 1) {
    page.socket.end(4001)
    page.clock.advance(20000)
    page.socket.end() // an attempt that never opened is no other end
    page.clock.advance(20000)
    page.socket.open()
  }
  page.socket.end(4001)
  assert.equal(client.state, 'stopped')
  assert.equal(told.closes.at(-1).retry, null)
})

test('an auth that came too late after one that did not counts anew', () => {
  const page = new Page()
  const { client } = page.connected()
  for (const code of [4001, 4001, 1011, 4001, 4001]) {
    page.socket.end(code)
    page.clock.advance(20000)
    page.socket.open()
  }
  assert.equal(client.state, 'open')
})

test('a late auth does not count as a connection that lasted, however long it took', () => {
  const page = new Page()
  page.random = () => 1
  const { told } = page.connected()
  page.socket.end()
  page.clock.advance(333)
  page.socket.open()
  page.clock.advance(60000)
  page.socket.end(4001)
  assert.equal(told.closes.at(-1).retry, 999)
})

test('a broker that restarts says when, and a second more spreads those it told the same', () => {
  const page = new Page()
  for (const [chance, wait] of [[0, 7000], [0.25, 7250], [0.999, 7999]]) {
    page.random = () => chance
    const { told } = page.connected()
    page.socket.end(1012, 'restarting, come back in 7 s')
    assert.equal(Math.round(told.closes[0].retry), wait)
  }
})

test('only a 1012 may say when, and nothing above five minutes', () => {
  const page = new Page()
  page.random = () => 0
  const ends = [[1012, 'restarting, come back in 99999 s', 300000], [1012, 'restarting', 0], [1011, 'come back in 9 s', 0]]
  for (const [code, reason, wait] of ends) {
    const { told } = page.connected()
    page.socket.end(code, reason)
    assert.equal(told.closes[0].retry, wait)
  }
})

test('a broker that asked for time gets it, although the page is looked at', () => {
  const page = new Page()
  page.random = () => 0
  page.connected()
  page.socket.end(1012, 'restarting, come back in 7 s')
  page.clock.advance(2000)
  page.hide()
  page.hide(false)
  page.tell('online')
  page.clock.advance(4999)
  assert.equal(page.sockets.length, 1)
  page.clock.advance(1)
  assert.equal(page.sockets.length, 2)
})

test('back online it tries at once', () => {
  const page = new Page()
  page.random = () => 1
  const { client, told } = page.connected()
  page.goOffline()
  page.socket.end()
  assert.equal(client.state, 'offline')
  page.goOnline()
  assert.equal(page.sockets.length, 2)
  page.socket.open()
  assert.deepEqual(told.states, ['open', 'offline', 'connecting', 'open'])
})

test('a browser that says it is offline may be wrong about this machine: attempts go on', () => {
  const page = new Page()
  page.connected()
  page.goOffline()
  page.socket.end()
  page.clock.advance(333)
  assert.equal(page.sockets.length, 2)
})

test('a page that nobody sees stops trying after a few, and tries at once when it is seen', () => {
  const page = new Page()
  const { told } = page.connected()
  page.hide()
  page.socket.end()
  while (told.closes.at(-1).retry !== Infinity) {
    page.clock.advance(told.closes.at(-1).retry)
    page.socket.end()
  }
  const tries = page.sockets.length - 1
  assert.ok(tries >= 3 && tries <= 6, String(tries))
  page.clock.advance(3_600_000)
  page.tell('online')
  assert.equal(page.sockets.length, tries + 1)
  page.hide(false)
  assert.equal(page.sockets.length, tries + 2)
})
