import { once } from 'node:events'
import { type ClientRequest, request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

/** What is under load. */
export interface BoxTarget {
  readonly url: string
  readonly key: string
}

/** One load, which goes on until `signal` aborts. */
export interface BoxLoad {
  readonly name: string
  run(target: BoxTarget, signal: AbortSignal): Promise<unknown>
}

const MIB = 2 ** 20
const LINE = 'export const answer = compute(question) // and so on\\n'

export const BoxLoads: readonly BoxLoad[] = [
  lanes('16 bodies of 400 KB', 16, textOf(400 * 1024), {}),
  lanes('6 bodies of 8 MB', 6, textOf(8 * MIB), {}),
  lanes('80 streams', 80, 'sim:events=100 sim:size=20 sim:gap=20', {}),
  lanes('20 collected answers of 5 MB', 20, 'sim:events=2500 sim:size=2000 sim:gap=0', {
    stream: false
  }),
  lanes('12 tool calls of 1 MB', 12, 'call tool save sim:arguments=1000000 sim:piece=4000', {
    tools: [tool()]
  }),
  { name: '100 stalled readers', run: stalledReaders },
  { name: '200 slow headers', run: (target, signal) => slowHeaders(target, signal, 200) },
  { name: '500 idle connections', run: (target, signal) => idle(target, signal, 500) },
  { name: '20 endless uploads', run: endlessUploads }
]

/** So many requests at a time, each read to its end; a refusal is an answer, too. */
function lanes(name: string, count: number, text: string, fields: object): BoxLoad {
  const body = JSON.stringify({
    model: 'claude-haiku-4.5',
    stream: true,
    messages: [{ role: 'user', content: text }],
    ...fields
  })
  const lane = async (target: BoxTarget, signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      const status = await read(post(target), body, signal)
      if (status !== 200) await delay(200) // as clients do that were asked to
    }
  }
  return {
    name,
    run: (target, signal) => Promise.all(Array.from({ length: count }, () => lane(target, signal)))
  }
}

function read(call: ClientRequest, body: string, signal: AbortSignal): Promise<number> {
  return new Promise((resolve) => {
    let status = 0
    const leave = (): void => void call.destroy()
    signal.addEventListener('abort', leave, { once: true })
    call.on('response', (response) => {
      status = response.statusCode ?? 0
      response.on('error', () => {}).resume()
    })
    call.on('error', () => {})
    call.on('close', () => {
      signal.removeEventListener('abort', leave)
      resolve(status)
    })
    call.end(body)
  })
}

function post({ url, key }: BoxTarget): ClientRequest {
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${key}` }
  return request(`${url}/v1/chat/completions`, { method: 'POST', agent: false, headers })
}

/** Ask for much, and read none of it. */
async function stalledReaders(target: BoxTarget, signal: AbortSignal): Promise<void> {
  const words = 'sim:events=4000 sim:size=2500 sim:gap=0'
  const messages = [{ role: 'user', content: words }]
  const body = JSON.stringify({ model: 'claude-haiku-4.5', stream: true, messages })
  const calls: ClientRequest[] = []
  while (calls.length < 100 && !signal.aborted) {
    const call = post(target).on('error', () => {})
    call.on('response', (response) => response.on('error', () => {}).pause())
    call.end(body)
    calls.push(call)
    await delay(15) // the upstream encodes each of these answers
  }
  await ended(signal)
  for (const call of calls) call.destroy()
}

/** A byte of a header now and then. */
async function slowHeaders(target: BoxTarget, signal: AbortSignal, count: number): Promise<void> {
  const sockets = connections(target, count)
  for (const socket of sockets)
    socket.write('POST /v1/chat/completions HTTP/1.1\r\nhost: box\r\nx-slow: ')
  while (!signal.aborted) {
    await delay(500)
    for (const socket of sockets) if (socket.writable) socket.write('a')
  }
  for (const socket of sockets) socket.destroy()
}

async function idle(target: BoxTarget, signal: AbortSignal, count: number): Promise<void> {
  const sockets = connections(target, count)
  await ended(signal)
  for (const socket of sockets) socket.destroy()
}

function connections({ url }: BoxTarget, count: number): readonly Socket[] {
  const { hostname, port } = new URL(url)
  return Array.from({ length: count }, () =>
    connect({ host: hostname, port: Number(port) }).on('error', () => {})
  )
}

/** Chunked bodies that never end, as fast as they are read. */
async function endlessUploads(target: BoxTarget, signal: AbortSignal): Promise<void> {
  const piece = LINE.repeat(600)
  const upload = async (): Promise<void> => {
    while (!signal.aborted) {
      const call = post(target).on('error', () => {})
      call.on('response', (response) => response.on('error', () => {}).resume())
      const closed = once(call, 'close').catch(() => {})
      call.write('{"model":"claude-haiku-4.5","messages":[{"role":"user","content":"')
      while (!signal.aborted && !call.destroyed) {
        if (call.write(piece)) await delay(1)
        else await Promise.race([once(call, 'drain').catch(() => {}), closed, delay(200)])
      }
      call.destroy()
      await closed
      await delay(200)
    }
  }
  await Promise.all(Array.from({ length: 20 }, upload))
}

function ended(signal: AbortSignal): Promise<unknown> {
  return signal.aborted ? Promise.resolve() : once(signal, 'abort')
}

function textOf(bytes: number): string {
  return `${LINE.repeat(Math.ceil(bytes / LINE.length))} sim:events=5 sim:gap=5`
}

function tool(): object {
  const parameters = {
    type: 'object',
    properties: { text: { type: 'string' } },
    required: ['text']
  }
  return { type: 'function', function: { name: 'save', description: 'Saves text.', parameters } }
}
