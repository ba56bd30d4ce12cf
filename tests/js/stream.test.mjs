// phlows.fetch: lines of any length, in any pieces.

import assert from 'node:assert/strict'
import test from 'node:test'

import { Page, settled } from './page.mjs'

const bytes = (text) => new TextEncoder().encode(text)
const NDJSON = { 'content-type': 'application/x-ndjson' }

/** A body whose pieces the test hands out. */
function makeBody() {
  let controller
  const asked = { cancelled: false }
  const stream = new ReadableStream({
    start: (own) => (controller = own),
    cancel: () => (asked.cancelled = true),
  })
  return { stream, asked, push: (piece) => controller.enqueue(piece), end: () => controller.close(), fail: (e) => controller.error(e) }
}

/** A page whose server answers with `answer(url, init)`. */
function served(answer) {
  const asked = []
  const page = new Page({
    fetch: async (url, init) => {
      asked.push([url, init])
      init.signal.throwIfAborted()
      return answer(url, init)
    },
  })
  const seen = []
  page.phlows.apply.on('n', (value) => seen.push(value))
  return { page, seen, asked, fetch: page.phlows.fetch }
}

const whole = (text, status = 200, headers = NDJSON) => served(() => new Response(text, { status, headers }))

/** The same text in pieces, as they are cut at the given places. */
async function inPieces(data, cuts) {
  const body = makeBody()
  const scene = served(() => new Response(body.stream, { headers: NDJSON }))
  const done = scene.fetch('/x')
  const messages = []
  done.on('message', (message) => messages.push(JSON.stringify(message)))
  let from = 0
  for (const to of [...cuts, data.length]) {
    body.push(data.slice(from, to))
    from = to
  }
  body.end()
  const { lines } = await done
  return { lines, messages }
}

const TEXT = '{"n":"ä€𝄞"}\r\n\n  \n[1,{"n":2}]\n{"n":"last"}'
const VALUES = ['{"n":"ä€𝄞"}', '[1,{"n":2}]', '{"n":"last"}']

test('lines are the same wherever the bytes are cut', async () => {
  const data = bytes(TEXT)
  for (let cut = 0; cut <= data.length; cut += 1) {
    const { lines, messages } = await inPieces(data, [cut])
    assert.deepEqual(messages, VALUES, `cut at ${cut}`)
    assert.equal(lines, 3)
  }
})

test('lines are the same byte by byte', async () => {
  const data = bytes(TEXT)
  const { messages } = await inPieces(data, data.map((_, index) => index))
  assert.deepEqual(messages, VALUES)
})

test('two lines with the same text are two lines', async () => {
  const { page, seen, fetch } = whole('{"n":1}\n{"n":1}\n{"n":1}')
  assert.deepEqual({ ...(await fetch('/x')) }, { status: 200, lines: 3 })
  assert.deepEqual(seen, [1, 1, 1])
  assert.deepEqual(page.complaints, [])
})

test('a line is applied as it arrives, not at the end', async () => {
  const body = makeBody()
  const { seen, fetch } = served(() => new Response(body.stream, { headers: NDJSON }))
  const done = fetch('/x')
  body.push(bytes('{"n":1}\n{"n":2'))
  await settled()
  assert.deepEqual(seen, [1])
  body.push(bytes('}\n'))
  await settled()
  assert.deepEqual(seen, [1, 2])
  body.end()
  await done
})

test('a line that is not JSON is an error, and the next one is applied', async () => {
  const { seen, fetch } = whole('{"n":1}\nWarning: x\n{"n":2}\n')
  const done = fetch('/x')
  const errors = []
  done.on('error', (failure) => errors.push(failure.message))
  assert.equal((await done).lines, 3)
  assert.deepEqual(seen, [1, 2])
  assert.deepEqual(errors, ['a line is not JSON'])
})

test('a line over the limit ends the request, whether its end has come or not', async () => {
  for (const end of ['\n{"n":2}\n', '']) {
    const body = makeBody()
    const { seen, fetch } = served((_, { signal }) => {
      signal.addEventListener('abort', () => (body.asked.cancelled = true))
      return new Response(body.stream, { headers: NDJSON })
    })
    const done = fetch('/x', { lineLimit: 20 })
    body.push(bytes('{"n":1}\n{"n":"' + 'x'.repeat(20) + end))
    await assert.rejects(done, /a line is over 20 characters/)
    assert.deepEqual(seen, [1])
    assert.ok(body.asked.cancelled)
  }
})

test('an abort ends it, is told, and is no error', async () => {
  for (const how of ['own', 'signal']) {
    const body = makeBody()
    const { seen, fetch } = served((_, { signal }) => {
      signal.addEventListener('abort', () => body.fail(signal.reason))
      return new Response(body.stream, { headers: NDJSON })
    })
    const aborter = new AbortController()
    const done = fetch('/x', { signal: aborter.signal })
    const told = []
    done.on('abort', () => told.push('abort'))
    done.on('error', () => told.push('error'))
    body.push(bytes('{"n":1}\n'))
    await settled()
    if (how === 'own') done.abort()
    else aborter.abort()
    await assert.rejects(done, { name: 'AbortError' })
    assert.deepEqual([seen, told], [[1], ['abort']])
  }
})

test('a signal that was aborted before lets nothing begin', async () => {
  const { seen, fetch } = whole('{"n":1}\n')
  await assert.rejects(fetch('/x', { signal: AbortSignal.abort() }), { name: 'AbortError' })
  assert.deepEqual(seen, [])
})

test('a network that fails in the middle is an error, and what came before stays', async () => {
  const body = makeBody()
  const { seen, fetch } = served(() => new Response(body.stream, { headers: NDJSON }))
  const done = fetch('/x')
  const errors = []
  done.on('error', (failure) => errors.push(failure.message))
  body.push(bytes('{"n":1}\n'))
  await settled()
  body.fail(new TypeError('network error'))
  await assert.rejects(done, /network error/)
  assert.deepEqual([seen, errors], [[1], ['network error']])
})

test('an error page is an error with its status, and none of it is applied', async () => {
  const { page, fetch } = whole('<h1>Sorry</h1>\n<p>x</p>', 500, { 'content-type': 'text/html' })
  const done = fetch('/x')
  const errors = []
  done.on('error', (failure) => errors.push(failure))
  assert.deepEqual({ ...(await done) }, { status: 500, lines: 0 })
  assert.deepEqual(errors.map((failure) => [failure.message, failure.status]), [['answered 500', 500]])
  assert.deepEqual(page.complaints, [])
})

test('a refusal in JSON is applied like any answer', async () => {
  const { seen, fetch } = whole('{"n":"refused"}', 422, { 'content-type': 'application/json' })
  assert.deepEqual({ ...(await fetch('/x')) }, { status: 422, lines: 1 })
  assert.deepEqual(seen, ['refused'])
})

test('an answer without a body has no lines', async () => {
  const { fetch } = served(() => new Response(null, { status: 204 }))
  assert.deepEqual({ ...(await fetch('/x')) }, { status: 204, lines: 0 })
})

test('the end is told after the last line', async () => {
  const { fetch } = whole('{"n":1}\n')
  const done = fetch('/x')
  const told = []
  done.on('message', () => told.push('message'))
  done.on('end', ({ lines }) => told.push(`end ${lines}`))
  await done
  assert.deepEqual(told, ['message', 'end 1'])
})

for (const [body, method, sent, type] of [
  [undefined, 'GET', undefined, null],
  ['text', 'POST', 'text', null],
  [[1], 'POST', '[1]', 'application/json'],
]) {
  test(`a body ${JSON.stringify(body)} goes as ${method}`, async () => {
    const { fetch, asked } = whole('')
    await fetch('/x', { body, headers: { 'x-mine': '1' } })
    const [, init] = asked[0]
    assert.deepEqual([init.method, init.body], [method, sent])
    assert.equal(init.headers.get('content-type'), type)
    assert.equal(init.headers.get('x-mine'), '1')
    assert.equal(init.headers.get('accept'), 'application/x-ndjson')
  })
}

test('what fetch() takes is passed on, a method too', async () => {
  const { fetch, asked } = whole('')
  await fetch('/x', { body: 'x', method: 'PUT', credentials: 'include' })
  assert.equal(asked[0][1].method, 'PUT')
  assert.equal(asked[0][1].credentials, 'include')
})
