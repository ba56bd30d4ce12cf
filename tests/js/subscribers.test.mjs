// Who is told, and for how long.

import assert from 'node:assert/strict'
import test from 'node:test'
import { setFlagsFromString } from 'node:v8'
import vm from 'node:vm'

import { Page, settled } from './page.mjs'

const element = (isConnected = true) => ({ isConnected })

test('several subscribers are told in the order in which they came', () => {
  const page = new Page()
  const { client } = page.connected()
  const told = []
  client.on('message', () => told.push(1))
  client.on('message', () => told.push(2))
  page.socket.receive({})
  assert.deepEqual(told, [1, 2])
})

test('one that fails is reported and stops no other', () => {
  const page = new Page()
  const { client } = page.connected()
  let told = 0
  client.on('message', () => assert.fail('mine'))
  client.on('message', () => (told += 1))
  page.socket.receive({})
  assert.equal(told, 1)
  assert.match(String(page.complaints[0][1]), /mine/)
})

test('what on() returns ends that subscription alone', () => {
  const page = new Page()
  const { client } = page.connected()
  let told = 0
  const fn = () => (told += 1)
  const end = client.on('message', fn)
  client.on('message', fn)
  end()
  end()
  page.socket.receive({})
  assert.equal(told, 1)
})

test('off() ends a function, or all of an event', () => {
  const page = new Page()
  const { client } = page.connected()
  const told = []
  const first = () => told.push(1)
  const bound = () => told.push(3)
  const alive = element()
  client.on('message', first)
  client.on('message', () => told.push(2))
  client.on('message', bound, alive)
  client.off('message', first)
  client.off('message', bound)
  page.socket.receive({})
  assert.deepEqual(told, [2])
  client.off('message')
  page.socket.receive({})
  assert.deepEqual(told, [2])
})

test('one that ends another, or comes in the middle, disturbs nobody', () => {
  const page = new Page()
  const { client } = page.connected()
  const told = []
  client.on('message', () => {
    told.push(1)
    client.off('message')
    client.on('message', () => told.push(9))
  })
  page.socket.receive({})
  page.socket.receive({})
  assert.deepEqual(told, [1, 9])
})

test('with an element it is told until that has left the page', () => {
  const page = new Page()
  const { client } = page.connected()
  const own = element()
  let told = 0
  client.on('message', () => (told += 1), own)
  page.socket.receive({})
  own.isConnected = false
  page.socket.receive({})
  own.isConnected = true
  page.socket.receive({})
  assert.equal(told, 1, 'gone is gone')
})

test('an element that is not in the page yet is waited for', () => {
  const page = new Page()
  const { client } = page.connected()
  const own = element(false)
  let told = 0
  client.on('message', () => (told += 1), own)
  page.socket.receive({})
  own.isConnected = true
  page.socket.receive({})
  assert.equal(told, 1)
})

test('neither an element nor what refers to it is kept alive', async () => {
  setFlagsFromString('--expose-gc')
  const gc = vm.runInNewContext('gc')
  const page = new Page()
  const { client } = page.connected()
  const refs = Array.from({ length: 100 }, () => {
    const own = { isConnected: true, weight: new Array(1000).fill(0) }
    client.on('message', () => own.weight.length, own)
    return new WeakRef(own)
  })
  await settled()
  gc()
  await settled()
  assert.equal(refs.filter((ref) => ref.deref()).length, 0)
  page.socket.receive({})
  assert.deepEqual(page.complaints, [])
})
