// A pool of one resident worker behind `ws`, in Node: each message is a job, one
// at a time, first come first served; the lines that it prints go back.
//
//   node node_resident.js <port> <interpreter> <app>
'use strict'

const { spawn } = require('node:child_process')
const http = require('node:http')
const readline = require('node:readline')
const { WebSocketServer } = require('ws')

const [port, interpreter, app] = process.argv.slice(2)
const worker = spawn(interpreter, [app, 'phlo_serve'], { stdio: ['pipe', 'pipe', 'inherit'] })
const waiting = [] // jobs that the worker has not been given
let running = null
let isReady = false
let jobs = 0

function next() {
  if (!isReady || running !== null || waiting.length === 0) return
  running = waiting.shift()
  const { id, host, text } = running
  const job = { id, target: 'ws::receive', args: [host, '', '', text], stream: true }
  worker.stdin.write(JSON.stringify(job) + '\n')
}

function take(line) {
  const told = JSON.parse(line)
  if (told.t === 'ready') {
    isReady = true
  } else if (told.t === 'line') {
    running.socket.send(told.data)
  } else {
    running = null // done or error
  }
  next()
}

readline.createInterface({ input: worker.stdout }).on('line', take)
worker.on('exit', () => process.exit(1))

// The answer to a cast says that it is up; it casts to nobody.
const server = http.createServer((request, response) => {
  request.resume().on('end', () => {
    const body = '{"status":"ok","sent":0,"matched":0}'
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length })
    response.end(body)
  })
})
const front = new WebSocketServer({ server, maxPayload: 65536 })
front.on('connection', (socket, request) => {
  socket.on('error', () => socket.terminate())
  socket.on('message', (text) => {
    jobs += 1
    waiting.push({ id: String(jobs), host: request.headers.host, text: text.toString(), socket })
    next()
  })
})
server.keepAliveTimeout = 600000 // a bridge connection that waits stays open
server.listen(Number(port), '127.0.0.1', 1024)
