// The echo function and the least that runs it on Node: one keep-alive connection to the Runtime API.
import http from 'node:http'

const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(':')
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })

function call(method, path, body) {
  return new Promise((resolve, reject) => {
    const request = http.request({ agent, host, port, method, path: '/2018-06-01/runtime/' + path }, response => {
      const parts = []
      response.on('data', part => parts.push(part))
      response.on('end', () => resolve({ headers: response.headers, body: Buffer.concat(parts).toString() }))
    })
    request.on('error', reject)
    request.end(body)
  })
}

function echo(event) {
  const body = JSON.stringify({ method: event.httpMethod, path: event.path, body: event.body })
  return { statusCode: 200, headers: { 'Content-Type': 'application/json' }, body }
}

for (;;) {
  const event = await call('GET', 'invocation/next')
  const id = event.headers['lambda-runtime-aws-request-id']
  await call('POST', `invocation/${id}/response`, JSON.stringify(echo(JSON.parse(event.body))))
}
