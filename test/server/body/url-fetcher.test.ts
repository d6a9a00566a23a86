import { readFile } from 'node:fs/promises'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { isPublicAddress } from '../../../src/server/body/public-address.ts'
import {
  type FetchLimits,
  UrlFetcher,
  type UrlFetcherOptions
} from '../../../src/server/body/url-fetcher.ts'
import { createNameLookup } from '../../../src/upstream/names/name-lookup.ts'
import { chooseProxy } from '../../../src/upstream/proxy/proxy.ts'
import { CountingProxy } from '../../helper/counting-proxy.ts'
import { NameServer } from '../../helper/name-server.ts'

const forever = { key: 'one', signal: new AbortController().signal, admit: () => {} }

async function serve(t: Test, listener: RequestListener): Promise<string> {
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

interface Changes extends Partial<Omit<UrlFetcherOptions, 'limits'>>, Partial<FetchLimits> {}

function fetcher(t: Test, changes: Changes = {}) {
  const { maxBytes = 1000, timeoutMs = 5000, maxConcurrent = 16, ...options } = changes
  const made = new UrlFetcher({
    limits: () => ({ maxBytes, timeoutMs, maxConcurrent }),
    isAllowedAddress: () => true,
    lookUp: createNameLookup(),
    chooseProxy: () => null,
    ...options
  })
  t.teardown(() => made.close())
  return made
}

t.test('fetch()', async (t) => {
  const png = Buffer.from('iVBORw0KGgoAAAANSUhEUg==', 'base64')

  t.test('takes nothing for an image that is none, whatever the server calls it', async (t) => {
    for (const content of ['hi', '<svg/>', 'BM', '']) {
      const url = await serve(t, (_request, response) => {
        response.writeHead(200, { 'content-type': 'image/png' }).end(content)
      })
      const found = await fetcher(t).fetch(url, forever)
      t.match(found, { kind: 'failed', reason: /not a PNG, JPEG, GIF or WebP/ }, content)
    }
  })

  t.test('gives images, PDFs and text by what the server calls them', async (t) => {
    const types: Record<string, string> = {
      '/a': 'image/png',
      '/b': 'Image/JPEG; charset=x',
      '/c': 'application/pdf',
      '/d': 'text/html; charset=utf-8'
    }
    const url = await serve(t, (request, response) => {
      const isImage = request.url === '/a' || request.url === '/b'
      const type = types[request.url ?? '']
      response.writeHead(200, { 'content-type': type }).end(isImage ? png : 'hi')
    })
    const one = fetcher(t)
    const base64 = 'aGk='
    for (const [path, mediaType] of [
      ['/a', 'image/png'],
      ['/b', 'image/jpeg']
    ]) {
      const image = { kind: 'image', mediaType, base64: png.toString('base64') }
      t.same(await one.fetch(`${url}${path}`, forever), image)
    }
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
    const content = await fetcher(t, { timeoutMs: 50 }).fetch(url, forever)
    t.match(content, { kind: 'failed', reason: /longer than 0.05 s/ })
  })

  t.test('gives up on a turn that does not come', async (t) => {
    const url = await serve(t, () => {})
    const one = fetcher(t, { timeoutMs: 100, maxConcurrent: 1 })
    const both = await Promise.all([one.fetch(url, forever), one.fetch(url, forever)])
    t.match(both, [{ reason: /longer than 0.1 s/ }, { reason: /waited longer than 0.1 s/ }])
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
    const one = fetcher(t, { isAllowedAddress: isPublicAddress })
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
    const content = await fetcher(t, {
      isAllowedAddress: (address) => address === '127.0.0.1'
    }).fetch(url, forever)
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

t.test('names that nobody answers for', (t) => {
  t.test('hold no file thread, and are given up with their client', async (t) => {
    const server = await NameServer.start(t)
    const one = fetcher(t, { lookUp: createNameLookup({ servers: [server.address] }) })
    const abort = new AbortController()
    const terms = { ...forever, signal: abort.signal }
    const all = Promise.allSettled(
      Array.from({ length: 20 }, (_, index) => one.fetch(`http://${index}.silent.example/`, terms))
    )
    await server.asked('7.silent.example')
    t.ok((await readFile(import.meta.filename)).length > 0, 'files can be read meanwhile')
    abort.abort(new Error('left'))
    const outcomes = await all
    // Given up by their resolver they would be failures, which are no errors.
    t.ok(outcomes.every(({ status }) => status === 'rejected'))
  })

  t.test('are failures that say no more than that', async (t) => {
    const server = await NameServer.start(t, () => 'no such name')
    const one = fetcher(t, { lookUp: createNameLookup({ servers: [server.address] }) })
    const content = await one.fetch('http://gone.example/', forever)
    t.same(content, { kind: 'failed', reason: 'it could not be fetched' })
  })

  t.test('leave room for what other keys name', async (t) => {
    const server = await NameServer.start(t)
    const url = await serve(t, (_, response) => {
      response.writeHead(200, { 'content-type': 'text/plain' }).end('x')
    })
    const lookUp = createNameLookup({ servers: [server.address] })
    const one = fetcher(t, { lookUp, maxConcurrent: 4 })
    const abort = new AbortController()
    const terms = { ...forever, key: 'greedy', signal: abort.signal }
    const all = Promise.allSettled(
      Array.from({ length: 20 }, (_, index) => one.fetch(`http://${index}.silent.example/`, terms))
    )
    await server.asked('1.silent.example')
    t.match(await one.fetch(url, { ...forever, key: 'other' }), { kind: 'text' })
    t.notOk(
      server.questions.some((question) => question.includes(' 2.silent')),
      'two at a time'
    )
    abort.abort(new Error('left'))
    await all
  })
  t.end()
})

t.test('a name that has public and private addresses leads to the public ones', async (t) => {
  let host = ''
  const url = await serve(t, (request, response) => {
    host = request.headers.host ?? ''
    response.writeHead(200, { 'content-type': 'text/plain' }).end('x')
  })
  const server = await NameServer.start(t, (_, type) =>
    type === 'A' ? ['127.0.0.2', '127.0.0.1'] : []
  )
  const { port } = new URL(url)
  const one = fetcher(t, {
    lookUp: createNameLookup({ servers: [server.address] }),
    isAllowedAddress: (address) => address === '127.0.0.1'
  })
  t.match(await one.fetch(`http://both.example:${port}/`, forever), { kind: 'text' })
  t.equal(host, `both.example:${port}`)
  server.reply = (_, type) => (type === 'A' ? ['127.0.0.2'] : [])
  t.match(await one.fetch(`http://rebound.example:${port}/`, forever), {
    kind: 'failed',
    reason: /not on the public internet/
  })
})

t.test('through the proxy of the upstream', (t) => {
  t.test('goes what is fetched, and the proxy resolves the name', async (t) => {
    const proxy = await CountingProxy.start(t, 'http')
    const url = await serve(t, (_, response) => {
      response.writeHead(200, { 'content-type': 'text/plain' }).end('through')
    })
    const { port } = new URL(url)
    const server = await NameServer.start(t)
    const one = fetcher(t, {
      lookUp: createNameLookup({ servers: [server.address] }),
      chooseProxy: chooseProxy({ url: proxy.url, httpsUrl: null, exceptions: '127.0.0.1' })
    })
    t.match(await one.fetch(`http://images.example:${port}/`, forever), { text: 'through' })
    t.same(proxy.targets, [`images.example:${port}`])
    t.same(server.questions, [])
    t.match(await one.fetch(url, forever), { kind: 'text' }, 'NO_PROXY goes directly')
  })

  t.test('comes a reason that does not tell its address', async (t) => {
    const one = fetcher(t, {
      chooseProxy: chooseProxy({ url: 'http://127.0.0.1:1', httpsUrl: null, exceptions: null })
    })
    t.same(await one.fetch('http://images.example/', forever), {
      kind: 'failed',
      reason: 'it could not be reached through the proxy of VPN_PROXY_URL'
    })
  })

  t.test('goes nothing whose address or name is private', async (t) => {
    const proxy = await CountingProxy.start(t, 'http')
    const one = fetcher(t, {
      isAllowedAddress: isPublicAddress,
      chooseProxy: chooseProxy({ url: proxy.url, httpsUrl: null, exceptions: null })
    })
    for (const host of [
      '10.0.0.1',
      '[::1]',
      'localhost',
      'a.localhost',
      'printer.local',
      'metadata.google.internal',
      'metadata.google.internal.',
      'router.lan',
      'vault'
    ]) {
      t.match(
        await one.fetch(`http://${host}/`, forever),
        { kind: 'failed', reason: /not on the public internet/ },
        host
      )
    }
    t.equal(proxy.max, 0)
  })
  t.end()
})
