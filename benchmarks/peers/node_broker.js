// The Node broker's shape: one http server, `ws` for the sockets, and a cast
// that walks the host's sockets and sends to each.
//
//   node --expose-gc node_broker.js <port> [--app <app> | --echo] [--ping <seconds>]
//
// With an app, each message starts it as `<app> ws::receive <host> <token>
// <socket> <text>` and each line that it prints goes back to the sender; with
// --echo the message itself does. A socket that has not answered by the next
// ping is terminated, as the documentation of `ws` has it.
'use strict'

const { execFile } = require('node:child_process')
const { randomBytes } = require('node:crypto')
const http = require('node:http')
const { WebSocketServer, WebSocket } = require('ws')

const port = process.argv[2]
const app = option('--app')
const echoes = process.argv.includes('--echo')
const pingSeconds = Number(option('--ping') ?? 0)
const hosts = new Map() // host -> token -> Map of socket id -> socket

function option(name) {
  const at = process.argv.indexOf(name)
  return at < 0 ? undefined : process.argv[at + 1]
}

function socketsOf(host, target) {
  const tokens = hosts.get(host) ?? new Map()
  if (target === undefined || target === 'all') return [...tokens.values()].flatMap((m) => [...m.values()])
  if (target.startsWith('token:')) return [...(tokens.get(target.slice(6)) ?? new Map()).values()]
  const id = target.replace(/^socket:/, '')
  return [...tokens.values()].flatMap((m) => (m.has(id) ? [m.get(id)] : []))
}

function cast({ host, target, data }) {
  const text = JSON.stringify(data) // once a cast, which only helps this side
  let sent = 0
  for (const socket of socketsOf(host, target)) {
    if (socket.readyState !== WebSocket.OPEN) continue
    socket.send(text)
    sent += 1
  }
  return { status: 'ok', host, sent, matched: sent }
}

function presence(host) {
  const tokens = [...(hosts.get(host) ?? new Map()).values()]
  return tokens.flatMap((m) => [...m].map(([id, socket]) => ({ socket: id, agent: socket.agent })))
}

function answer(response, status, value) {
  const body = JSON.stringify(value)
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
  response.end(body)
}

function handle(request, response) {
  if (request.method === 'POST' && request.url === '/gc') {
    global.gc() // so that the memory figure holds no garbage of ours
    return answer(response, 200, { status: 'ok' })
  }
  if (request.url.startsWith('/presence?host=')) {
    return answer(response, 200, { sockets: presence(request.url.slice(15)) })
  }
  if (request.method !== 'POST' || request.url !== '/message') {
    return answer(response, 404, { status: 'error', message: 'no such path' })
  }
  const chunks = []
  request.on('data', (chunk) => chunks.push(chunk))
  request.on('end', () => {
    let message
    try {
      message = JSON.parse(Buffer.concat(chunks).toString())
    } catch (error) {
      return answer(response, 400, { status: 'error', message: error.message })
    }
    answer(response, 200, cast(message))
  })
}

function enter(socket, host, token, id) {
  if (!hosts.has(host)) hosts.set(host, new Map())
  const tokens = hosts.get(host)
  if (!tokens.has(token)) tokens.set(token, new Map())
  tokens.get(token).set(id, socket)
}

function leave(host, token, id) {
  const tokens = hosts.get(host)
  tokens.get(token).delete(id)
  if (tokens.get(token).size === 0) tokens.delete(token)
}

function receive(socket, host, token, id, text) {
  execFile(app, ['ws::receive', host, token, id, text], (error, stdout) => {
    if (error) return
    for (const line of stdout.split('\n')) if (line !== '') socket.send(line)
  })
}

const server = http.createServer(handle)
const front = new WebSocketServer({ noServer: true, maxPayload: 65536 })
server.on('upgrade', (request, connection, head) => {
  front.handleUpgrade(request, connection, head, (socket) => {
    const host = request.headers.host
    const id = randomBytes(8).toString('hex')
    const token = /(?:^|; *)token=([^;]*)/.exec(request.headers.cookie ?? '')?.[1] ?? ''
    enter(socket, host, token, id)
    socket.agent = request.headers['user-agent'] ?? ''
    socket.isAlive = true
    socket.on('pong', () => { socket.isAlive = true })
    socket.on('close', () => leave(host, token, id))
    socket.on('error', () => socket.terminate())
    if (app) socket.on('message', (text) => receive(socket, host, token, id, text.toString()))
    if (echoes) socket.on('message', (text) => socket.send(text.toString()))
  })
})

function pingAll() {
  for (const socket of front.clients) {
    if (!socket.isAlive) {
      socket.terminate()
      continue
    }
    socket.isAlive = false
    socket.ping()
  }
}

if (pingSeconds) setInterval(pingAll, pingSeconds * 1000)
server.keepAliveTimeout = 600000 // a bridge connection that waits stays open
server.listen(Number(port), '127.0.0.1', 1024)
