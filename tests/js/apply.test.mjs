// The part of apply() that needs no page; what it does to one is tested in a browser.

import assert from 'node:assert/strict'
import test from 'node:test'

import { Page } from './page.mjs'

test('commands run in the order of the object', () => {
  const page = new Page()
  const ran = []
  for (const name of ['a', 'b', 'c']) page.phlows.apply.on(name, (value) => ran.push(name + value))
  page.phlows.apply(JSON.parse('{"c":1,"a":2,"b":3}'))
  assert.deepEqual(ran, ['c1', 'a2', 'b3'])
})

test('one that fails is reported and stops no other', () => {
  const page = new Page()
  let ran = 0
  page.phlows.apply.on('bad', () => assert.fail('mine'))
  page.phlows.apply.on('good', () => (ran += 1))
  page.phlows.apply({ bad: 1, good: 1 })
  assert.equal(ran, 1)
  assert.equal(page.complaints.length, 1)
})

test('unknown commands, and names that every object has, do nothing', () => {
  const page = new Page()
  page.phlows.apply(JSON.parse('{"nothing":1,"__proto__":{"x":1},"constructor":"x","toString":"x","hasOwnProperty":1}'))
  assert.deepEqual(page.complaints, [])
})

test('a list of commands is applied in turn; what is no object is nothing', () => {
  const page = new Page()
  const ran = []
  page.phlows.apply.on('n', (value) => ran.push(value))
  for (const commands of [[{ n: 1 }, 5, null, { n: 2 }], [], null, 'n', 7]) page.phlows.apply(commands)
  assert.deepEqual(ran, [1, 2])
})

test('a command of the page takes the place of a built-in one until it is taken away', () => {
  const page = new Page()
  const errors = []
  const end = page.phlows.apply.on('title', (text) => errors.push(text))
  page.phlows.apply({ title: 'one' })
  end()
  page.phlows.apply({ title: 'two' })
  assert.deepEqual(errors, ['one'])
  assert.equal(page.document.title, 'two')
})

test('call runs what is registered, only with leave, and nothing that is inherited', () => {
  const page = new Page()
  const called = []
  page.phlows.apply.calls.ring = (value) => called.push(value)
  page.phlows.apply({ call: 'ring' })
  page.phlows.apply({ call: 'ring' }, { allow: ['js'] })
  assert.deepEqual(called, [])
  assert.equal(page.complaints.length, 2)
  page.phlows.apply({ call: ['ring', { ring: 2 }, 'toString', 'nothing', '__proto__'] }, { allow: 'call' })
  assert.deepEqual(called, [undefined, 2])
})

for (const command of ['js', 'defer']) {
  test(`${command} loads nothing without leave`, () => {
    const page = new Page()
    page.document.createElement = () => assert.fail('made an element')
    page.phlows.apply({ [command]: '/x.js' })
    page.phlows.apply({ [command]: '/x.js' }, { allow: ['call'] })
    assert.match(String(page.complaints[0]), /allow: \['js'\]/)
    assert.equal(page.complaints.length, 2)
  })
}

function places(commands) {
  const went = []
  const location = { href: 'https://app.test/a/b', assign: (to) => went.push(to), reload: () => went.push('reload') }
  const history = {
    pushState: (...all) => went.push(`push ${all[2]}`),
    replaceState: (...all) => went.push(`replace ${all[2]}`),
  }
  const page = new Page({ location, history })
  page.phlows.apply(commands)
  return went.join()
}

for (const [commands, wanted] of [
  [{ location: true }, 'reload'],
  [{ location: 'inbox' }, 'https://app.test/inbox'],
  [{ location: '/inbox?x=1' }, 'https://app.test/inbox?x=1'],
  [{ location: 'https://other.test/x' }, 'https://other.test/x'],
  [{ location: 'javascript:alert(1)' }, ''],
  [{ location: ' javascript:alert(1)' }, 'https://app.test/%20javascript:alert(1)'],
  [{ location: 'data:text/html,x' }, ''],
  [{ path: 'inbox' }, 'push /inbox'],
  [{ path: '//other.test/x' }, 'push /other.test/x'],
  [{ path: '/\\other.test' }, 'push /other.test'],
  [{ pathReplace: '/inbox' }, 'replace /inbox'],
  [{ path: '/inbox', state: false }, ''],
]) {
  test(`${JSON.stringify(commands)} goes to ${wanted || 'no place'}`, () => assert.equal(places(commands), wanted))
}

function transitions({ hidden = false, calm = false, old = false } = {}) {
  const page = new Page({ matchMedia: () => ({ matches: calm }) })
  const shown = []
  page.document.documentElement = { dataset: {} }
  page.document.hidden = hidden
  page.document.startViewTransition = (how) => {
    if (old && typeof how !== 'function') throw new TypeError('not a function')
    let finish
    const finished = new Promise((resolve) => (finish = resolve))
    shown.push({ types: how.types, update: how.update || how, finish })
    return { ready: Promise.reject(new Error('skipped')), finished }
  }
  const ran = []
  page.phlows.apply.on('n', (value) => ran.push(value))
  return { page, shown, ran }
}

test('a transition holds what comes behind it, so that the order stays', () => {
  const { page, shown, ran } = transitions()
  page.phlows.apply({ n: 1, trans: true })
  page.phlows.apply({ n: 2 })
  page.phlows.apply({ n: 3, trans: ['back', 'slow'] })
  page.phlows.apply({ n: 4 })
  assert.deepEqual(ran, [])
  shown[0].update()
  assert.deepEqual(ran, [1, 2])
  shown[1].update()
  assert.deepEqual(ran, [1, 2, 3, 4])
  assert.deepEqual(shown.map(({ types }) => [...types]), [['forward'], ['back', 'slow']])
})

test('browsers that know transitions but no types have them all the same', () => {
  const { page, shown, ran } = transitions({ old: true })
  page.phlows.apply({ n: 1, trans: 'back' })
  assert.equal(page.document.documentElement.dataset.trans, 'back')
  shown[0].update()
  assert.deepEqual(ran, [1])
})

for (const why of [{ hidden: true }, { calm: true }]) {
  test(`no transition where it would not be seen or is not wanted: ${Object.keys(why)}`, () => {
    const { page, shown, ran } = transitions(why)
    page.phlows.apply({ n: 1, trans: true })
    assert.deepEqual([ran, shown.length], [[1], 0])
  })
}
