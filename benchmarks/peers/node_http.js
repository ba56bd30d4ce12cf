// A bridge and nothing behind it: parse the cast, find nobody, answer.
//
//   node node_http.js <port>
'use strict'

const http = require('node:http')

const [port] = process.argv.slice(2)
const hosts = new Map()

function answer(response, status, value) {
  const body = JSON.stringify(value)
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
  response.end(body)
}

const server = http.createServer((request, response) => {
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
    const sockets = hosts.get(message.host) ?? []
    answer(response, 200, { status: 'ok', host: message.host, sent: sockets.length })
  })
})
server.keepAliveTimeout = 600000 // a bridge connection that waits stays open
server.listen(Number(port), '127.0.0.1', 1024)
