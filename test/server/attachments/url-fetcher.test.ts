import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { isPublicAddress } from '../../../src/server/attachments/public-address.ts'
import { UrlFetcher } from '../../../src/server/attachments/url-fetcher.ts'

const forever = { signal: new AbortController().signal, admit: () => {} }

async function serve(t: Test, listener: RequestListener): Promise<string> {
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

function fetcher(t: Test, isAllowedAddress = (_address: string) => true, timeoutMs = 5000) {
  const made = new UrlFetcher({ limits: () => ({ maxBytes: 1000, timeoutMs }), isAllowedAddress })
  t.teardown(() => made.close())
  return made
}

t.test('fetch()', async (t) => {
  t.test('gives images, PDFs and text by what the server calls them', async (t) => {
    const types: Record<string, string> = {
      '/a': 'image/png',
      '/b': 'Image/JPEG; charset=x',
      '/c': 'application/pdf',
      '/d': 'text/html; charset=utf-8'
    }
    const url = await serve(t, (request, response) => {
      response.writeHead(200, { 'content-type': types[request.url ?? ''] }).end('hi')
    })
    const one = fetcher(t)
    const base64 = 'aGk='
    t.same(await one.fetch(`${url}/a`, forever), { kind: 'image', mediaType: 'image/png', base64 })
    t.same(await one.fetch(`${url}/b`, forever), { kind: 'image', mediaType: 'image/jpeg', base64 })
    t.same(await one.fetch(`${url}/c`, forever), { kind: 'pdf', base64 })
    t.same(await one.fetch(`${url}/d`, forever), { kind: 'text', text: 'hi' })
  })

  t.test('looks at the bytes of what a server only calls bytes', async (t) => {
    const png = Buffer.from('\x89PNG\r\n\x1a\n rest', 'latin1')
    const files: Record<string, Buffer> = {
      '/png': png,
      '/jpeg': Buffer.from('\xff\xd8\xff\xe0 rest', 'latin1'),
      '/pdf': Buffer.from('%PDF-1.7 rest')
    }
    for (const type of ['application/octet-stream', 'binary/octet-stream', 'image/jpg', '']) {
      const url = await serve(t, ({ url: path = '' }, response) => {
        response.writeHead(200, type === '' ? {} : { 'content-type': type }).end(files[path])
      })
      const one = fetcher(t)
      const base64 = png.toString('base64')
      const mediaType = 'image/png'
      t.same(await one.fetch(`${url}/png`, forever), { kind: 'image', mediaType, base64 }, type)
      t.match(await one.fetch(`${url}/jpeg`, forever), { mediaType: 'image/jpeg' }, type)
      t.match(await one.fetch(`${url}/pdf`, forever), { kind: 'pdf' }, type)
    }
  })

  t.test('sends nothing that tells who asks', async (t) => {
    let headers: readonly string[] = []
    const url = await serve(t, (request, response) => {
      headers = Object.keys(request.headers)
      response.writeHead(200, { 'content-type': 'text/plain' }).end('x')
    })
    await fetcher(t).fetch(url, forever)
    t.same([...headers].toSorted(), ['accept', 'connection', 'host'])
  })

  const answers: readonly [name: string, listener: RequestListener, reason: RegExp][] = [
    ['a status', (_, response) => response.writeHead(404).end(), /status 404/],
    [
      'another type',
      (_, response) => response.writeHead(200, { 'content-type': 'video/mp4' }).end('x'),
      /neither/
    ],
    ['no type', (_, response) => response.end('x'), /neither/],
    [
      'too much',
      (_, response) =>
        response.writeHead(200, { 'content-type': 'text/plain' }).end('x'.repeat(1001)),
      /larger than 1000 bytes/
    ],
    ['a reset', (request) => request.socket.destroy(), /could not be fetched/],
    [
      'a redirect to nowhere',
      (_, response) => response.writeHead(302, { location: 'http://' }).end(),
      /nowhere/
    ],
    [
      'a redirect without end',
      (_, response) => response.writeHead(302, { location: '/' }).end(),
      /too many redirects/
    ],
    [
      'another scheme',
      (_, response) => response.writeHead(302, { location: 'file:///etc/passwd' }).end(),
      /only http/
    ]
  ]
  for (const [name, listener, reason] of answers) {
    t.test(`says what is wrong with ${name}`, async (t) => {
      const url = await serve(t, listener)
      t.match(await fetcher(t).fetch(url, forever), { kind: 'failed', reason })
    })
  }

  t.test('takes just as much as it may', async (t) => {
    const url = await serve(t, (_, response) => {
      response.writeHead(200, { 'content-type': 'text/plain' }).end('x'.repeat(1000))
    })
    t.match(await fetcher(t).fetch(url, forever), { kind: 'text' })
  })

  t.test('gives up on silence', async (t) => {
    const url = await serve(t, () => {})
    const content = await fetcher(t, undefined, 50).fetch(url, forever)
    t.match(content, { kind: 'failed', reason: /longer than 0.05 s/ })
  })

  t.test('ends with its client', async (t) => {
    const abort = new AbortController()
    const url = await serve(t, () => abort.abort(new Error('gone')))
    await t.rejects(fetcher(t).fetch(url, { ...forever, signal: abort.signal }), {
      message: 'gone'
    })
  })
})

t.test('private addresses', async (t) => {
  t.test('are never connected to, whatever leads there', async (t) => {
    let requests = 0
    const url = await serve(t, (_, response) => {
      requests++
      response.end('secret')
    })
    const { port } = new URL(url)
    const one = fetcher(t, isPublicAddress)
    const places = [
      `127.0.0.1:${port}`,
      `localhost:${port}`,
      `[::1]:${port}`,
      `0x7f000001:${port}`,
      `2130706433:${port}`
    ]
    for (const place of places) {
      const content = await one.fetch(`http://${place}/`, forever)
      t.match(content, { kind: 'failed', reason: /not on the public internet/ }, place)
    }
    t.equal(requests, 0)
  })

  t.test('are not reached by a redirect', async (t) => {
    let secrets = 0
    const target = await serve(t, () => secrets++)
    const url = await serve(t, (_, response) => {
      response.writeHead(302, { location: target.replace('127.0.0.1', '127.0.0.2') }).end()
    })
    const content = await fetcher(t, (address) => address === '127.0.0.1').fetch(url, forever)
    t.match(content, { kind: 'failed', reason: /not on the public internet/ })
    t.equal(secrets, 0)
  })

  t.test('credentials in a URL are refused', async (t) => {
    const url = 'http://user:secret@example.com/'
    const content = await fetcher(t).fetch(url, forever)
    t.match(content, { kind: 'failed', reason: /credentials/ })
    t.notMatch(JSON.stringify(content), /secret/)
  })
})
