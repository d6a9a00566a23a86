import { once } from 'node:events'
import type { Socket } from 'node:net'
import t from 'tap'
import type { AnswerRoom } from '../../src/dialects/answer/output-text.ts'
import { PartReader } from '../../src/dialects/answer/part-reader.ts'
import type { StreamPart } from '../../src/dialects/answer/stream-part.ts'
import { createWriter } from '../../src/dialects/dialect.ts'
import { StreamReply, type StreamReplyOptions } from '../../src/reply/stream-reply.ts'
import { GatewayError } from '../../src/shared/errors.ts'
import { replyPlan, responsesIdentity } from '../helper/reply-plan.ts'
import { bodyText, type OpenReply, openReply } from '../helper/reply-server.ts'

type Writer = StreamReplyOptions['writer']

/** Says what it is given, so that a test sees who wrote what. */
class PlainWriter implements Writer {
  push(part: StreamPart): string {
    if (part.type === 'text') return part.text
    return part.type === 'end' ? '[end]' : ''
  }

  fail(error: Error): string {
    return `[fail ${error.message}]`
  }

  heartbeat(): string {
    return '[beat]'
  }
}

const text = (content: string): StreamPart => ({ type: 'text', text: content })
const thought = (content: string): StreamPart => ({ type: 'reasoning', text: content })
const end: StreamPart = { type: 'end', reason: 'stop', usage: { inputTokens: 1, outputTokens: 1 } }

/** For so many bytes that are held. */
function roomFor(bytes: number): AnswerRoom {
  let left = bytes
  const hold = (more: number): boolean => (left -= more) >= 0
  return {
    get isFull() {
      return left < 0
    },
    say: () => left >= 0,
    hold,
    free: () => {}
  }
}

function replyTo({ response }: OpenReply, changes: Partial<StreamReplyOptions> = {}) {
  const events: string[] = []
  const gone = new AbortController()
  gone.signal.addEventListener('abort', () => events.push('stalled'))
  const reply = new StreamReply({
    response,
    writer: new PlainWriter(),
    heartbeatMs: 60_000,
    stallTimeoutMs: 60_000,
    headers: () => ({ 'x-late': 'known now' }),
    gone,
    ...changes
  })
  const source = {
    pause: () => void events.push('paused'),
    resume: () => void events.push('resumed')
  }
  reply.attach(source)
  return { reply, events }
}

t.test('StreamReply', (t) => {
  t.test('begins with the first text, in one write for each chunk of the upstream', async (t) => {
    const open = await openReply(t)
    const { reply } = replyTo(open)
    const writes = recordWrites(open)
    reply.onSent()
    reply.flush()
    t.equal(reply.hasBegun, false, 'nothing was said yet')
    reply.push({ type: 'tool-end' })
    reply.flush()
    t.equal(reply.hasBegun, false)
    reply.push(text('a'))
    reply.push(text('b'))
    reply.flush()
    t.equal(reply.hasBegun, true)
    reply.push(text('c'))
    reply.flush()
    reply.push(end)
    reply.end()
    reply.dispose()
    const message = await open.received
    t.match(message.headers, { 'content-type': /^text\/event-stream/, 'x-late': 'known now' })
    t.equal(message.statusCode, 200)
    t.equal(await bodyText(message), 'abc[end]')
    t.match(writes, ['ab', /^(1\r\n)?c(\r\n)?$/]) // framed here, or by Node 26
  })

  t.test('makes one event of what is said at once, and keeps the order of all', async (t) => {
    const open = await openReply(t)
    const written: string[] = []
    const writer: Writer = {
      push: (part) => {
        const said = 'text' in part ? part.text : part.type === 'tool-delta' ? part.json : ''
        written.push(`${part.type} ${said.length > 10 ? said.length : said}`)
        return said
      },
      fail: () => '[fail]',
      heartbeat: () => ''
    }
    const { reply } = replyTo(open, { writer })
    for (const begin of '1234') reply.push(thought(begin))
    t.equal(written.splice(0).length, 4, 'the first ones come as they are')
    for (const part of [thought('a'), thought('b'), text('c'), text('d'), text('e')])
      reply.push(part)
    reply.push({ type: 'tool-end' })
    reply.push(text('f'))
    reply.flush()
    t.same(written.splice(0), ['reasoning ab', 'text cde', 'tool-end ', 'text f'])
    for (const json of ['{"a"', ':1', '}']) reply.push({ type: 'tool-delta', json })
    reply.push({ type: 'tool-end' })
    reply.flush()
    t.same(written.splice(0), ['tool-delta {"a":1}', 'tool-end '])
    for (let count = 0; count < 3; count++) reply.push(text('x'.repeat(3000)))
    reply.flush()
    t.same(written.splice(0), ['text 6000', 'text 3000'], 'none becomes long')
    reply.push(text('short'))
    reply.push(text('y'.repeat(5000)))
    t.same(written.splice(0), ['text short', 'text 5000'], 'a long one does not wait')
    reply.push(text('short'))
    reply.flush()
    t.same(written.splice(0), ['text short'])
    reply.push(text('g'))
    reply.fail(new GatewayError('GW_UPSTREAM_RESET'))
    reply.dispose()
    t.same(written, ['text g'], 'nor is anything lost before a failure')
    t.match(await bodyText(await open.received), /^1234abcdef.*g\[fail\]$/)
  })

  t.test('is never complete where there was no room for the last of its text', async (t) => {
    const open = await openReply(t)
    const plan = replyPlan({ dialect: 'openai-responses' })
    const room = roomFor(8000)
    const { reply } = replyTo(open, { writer: createWriter(plan, responsesIdentity, room) })
    const reader = new PartReader(plan, { room })
    const piece = 'twenty characters!! '
    for (let count = 0; count < 207; count++) {
      for (const part of reader.push({ type: 'text', text: piece })) reply.push(part)
    }
    t.notOk(reader.isStopped, 'what was joined is not written yet')
    for (const part of reader.end()) reply.push(part)
    reply.end()
    reply.dispose()
    const body = await bodyText(await open.received)
    t.match(body, /"type":"response\.incomplete"/)
    t.notMatch(body, /"type":"response\.completed"/)
  })

  t.test('never has a call done where there was no room for some of its arguments', async (t) => {
    const open = await openReply(t)
    const plan = replyPlan({ dialect: 'openai-responses' })
    const room = roomFor(8000)
    const { reply } = replyTo(open, { writer: createWriter(plan, responsesIdentity, room) })
    reply.push({ type: 'tool-start', id: 'call_1', name: 'write' })
    reply.push({ type: 'tool-delta', json: '{"a":"' })
    for (let count = 0; count < 210; count++) {
      reply.push({ type: 'tool-delta', json: 'twenty characters!! ' })
    }
    reply.push({ type: 'tool-delta', json: 'the last"}' })
    reply.push({ type: 'tool-end' })
    t.ok(room.isFull)
    reply.push({ ...end, reason: 'tool' })
    reply.end()
    reply.dispose()
    const body = await bodyText(await open.received)
    t.match(body, /"type":"response\.incomplete"/)
    t.notMatch(body, /response\.output_item\.done/)
    t.notMatch(body, /the last/, 'nor is there a gap in them')
  })

  t.test(
    'nor a call of a tool that takes text, whose arguments came in another form',
    async (t) => {
      const open = await openReply(t)
      const toolForms = { patch: { kind: 'text', name: 'patch' } } as const
      const plan = replyPlan({ dialect: 'openai-responses', toolForms })
      const room = roomFor(1500)
      const { reply } = replyTo(open, { writer: createWriter(plan, responsesIdentity, room) })
      reply.push({ type: 'tool-start', id: 'call_1', name: 'patch' })
      reply.push({ type: 'tool-delta', json: '{"patch":"' })
      for (const letter of 'abc') reply.push({ type: 'tool-delta', json: letter.repeat(400) })
      reply.push({ type: 'tool-delta', json: 'the last"}' })
      reply.push({ type: 'tool-end' })
      t.ok(room.isFull)
      reply.push({ ...end, reason: 'tool' })
      reply.end()
      reply.dispose()
      const body = await bodyText(await open.received)
      t.match(body, /"type":"response\.incomplete"/)
      t.notMatch(body, /response\.output_item\.done/)
    }
  )

  t.test('is whole even if nothing was flushed before its end', async (t) => {
    const open = await openReply(t)
    const { reply } = replyTo(open)
    reply.push(text('a'))
    reply.push(end)
    reply.end()
    reply.dispose()
    t.equal(await bodyText(await open.received), 'a[end]')
  })

  t.test('ends with the failure and what came before it, not with an end', async (t) => {
    const open = await openReply(t)
    const { reply } = replyTo(open)
    reply.push(text('a'))
    reply.flush()
    reply.push(text('b'))
    reply.fail(new GatewayError('GW_UPSTREAM_RESET', undefined, { message: 'broken' }))
    reply.dispose()
    t.equal(await bodyText(await open.received), 'ab[fail broken]')
  })
  t.end()
})

t.test('heartbeats', (t) => {
  t.test('begin a silent answer, and go on until it speaks', async (t) => {
    const open = await openReply(t)
    const { reply } = replyTo(open, { heartbeatMs: 15 })
    reply.onSent()
    const message = await open.received // headers went out with the first
    t.equal(reply.hasBegun, true)
    message.setEncoding('utf8')
    let received = ''
    while (!received.includes('[beat][beat]')) received += (await once(message, 'data'))[0]
    reply.push(text('a'))
    reply.push(end)
    reply.end()
    reply.dispose()
    for await (const chunk of message) received += chunk
    t.match(received, /^(\[beat\]){2,}a\[end\]$/)
  })

  t.test('are silent before the request was sent, and while an attempt has failed', async (t) => {
    const open = await openReply(t)
    const { reply } = replyTo(open, { heartbeatMs: 5 })
    const other = await openReply(t)
    const { reply: witness } = replyTo(other, { heartbeatMs: 10 })
    reply.onSent()
    reply.onIdle()
    witness.onSent()
    await other.received // its first heartbeat came after the time of ours
    t.equal(reply.hasBegun, false)
    t.equal(open.response.headersSent, false)
    reply.onSent() // the next attempt
    await open.received
    t.equal(reply.hasBegun, true)
    for (const one of [reply, witness]) one.dispose()
  })

  t.test('are put off by what is written', async (t) => {
    const open = await openReply(t)
    const { reply } = replyTo(open, { heartbeatMs: 40 })
    const message = await begin(open, reply)
    message.setEncoding('utf8')
    const startedAt = performance.now()
    let received = ''
    message.on('data', (chunk: string) => (received += chunk))
    let longestMs = 0
    for (let wroteAt = startedAt; wroteAt - startedAt < 100; ) {
      reply.push(text('.'))
      reply.flush()
      await new Promise((resolve) => setTimeout(resolve, 2))
      longestMs = Math.max(longestMs, performance.now() - wroteAt)
      wroteAt = performance.now()
    }
    // A busy machine may have been silent for that long between two writes.
    t.ok(!received.includes('beat') || longestMs >= 35, `silent for ${longestMs} ms at most`)
    while (!received.includes('[beat]')) await once(message, 'data')
    reply.dispose()
  })

  t.test('that say nothing do not end an answer which is still being saved', async (t) => {
    const open = await openReply(t)
    const { promise: wasAsked, resolve } = Promise.withResolvers<void>()
    const writer = new PlainWriter()
    const beats = ['[beat]', '']
    writer.heartbeat = () => {
      const beat = beats.shift()
      if (beat === undefined) resolve()
      return beat ?? ''
    }
    const { reply } = replyTo(open, { writer, heartbeatMs: 2 })
    reply.onSent()
    await wasAsked
    reply.push(text('all of it'))
    reply.push(end)
    reply.end()
    reply.dispose()
    t.equal(await bodyText(await open.received), '[beat]all of it[end]')
  })

  t.test('end with dispose()', async (t) => {
    const open = await openReply(t)
    const { reply } = replyTo(open, { heartbeatMs: 5 })
    reply.onSent()
    reply.dispose()
    const other = await openReply(t)
    const { reply: witness } = replyTo(other, { heartbeatMs: 10 })
    witness.onSent()
    await other.received
    witness.dispose()
    t.equal(open.response.headersSent, false)
  })
  t.end()
})

t.test('a client that reads slowly', (t) => {
  /** More than the kernel takes for a client that reads nothing. */
  const chunk = 'x'.repeat(16 * 2 ** 20)

  t.test('stops the upstream, and lets it go on when it has read', async (t) => {
    const open = await openReply(t)
    const { reply, events } = replyTo(open, { heartbeatMs: 5 })
    const message = await begin(open, reply)
    while (events.length === 0) {
      reply.push(text(chunk))
      reply.flush()
    }
    t.same(events, ['paused'])
    reply.push(text(chunk))
    reply.flush() // what was read already still comes
    t.same(events, ['paused'], 'told once')
    const { socket } = open.response
    message.resume()
    await once(socket!, 'drain')
    t.same(events, ['paused', 'resumed'])
    reply.push(end)
    reply.end()
    reply.dispose()
    await once(message, 'end')
    t.equal(drainListeners(open, socket), 0)
  })

  t.test('gets no heartbeats meanwhile: they would only fill memory', async (t) => {
    const open = await openReply(t)
    const { reply, events } = replyTo(open, { heartbeatMs: 5, stallTimeoutMs: 60 })
    await begin(open, reply)
    while (events.length === 0) {
      reply.push(text(chunk))
      reply.flush()
    }
    const waiting = open.response.writableLength
    while (!events.includes('stalled')) await new Promise((resolve) => setTimeout(resolve, 5))
    t.ok(open.response.writableLength <= waiting)
    reply.dispose()
  })

  t.test('is given up after the timeout, once', async (t) => {
    const open = await openReply(t)
    const { reply, events } = replyTo(open, { stallTimeoutMs: 30 })
    const closed = once(open.response, 'close')
    await begin(open, reply)
    const startedAt = performance.now()
    while (events.length === 0) {
      reply.push(text(chunk))
      reply.flush()
    }
    await closed
    t.ok(performance.now() - startedAt >= 29)
    reply.dispose()
    t.equal(events.filter((event) => event === 'stalled').length, 1)
  })

  t.test('is not given up when its answer was disposed of', async (t) => {
    const open = await openReply(t)
    const { reply, events } = replyTo(open, { stallTimeoutMs: 20 })
    await begin(open, reply)
    while (events.length === 0) {
      reply.push(text(chunk))
      reply.flush()
    }
    reply.dispose()
    t.equal(drainListeners(open, open.response.socket), 0)
    await new Promise((resolve) => setTimeout(resolve, 40)) // past the timeout
    t.same(events, ['paused'])
  })

  t.test('stops the call that comes after the one which filled its connection', async (t) => {
    const open = await openReply(t)
    const { reply, events } = replyTo(open)
    const message = await begin(open, reply)
    const { signal } = new AbortController()
    await reply.whenDrained(signal)
    while (events.length === 0) {
      reply.push(text(chunk))
      reply.flush()
    }
    const calls: string[] = []
    reply.attach({
      pause: () => void calls.push('paused'),
      resume: () => void calls.push('resumed')
    })
    t.same(calls, ['paused'])
    const drained = reply.whenDrained(signal).then(() => calls.push('drained'))
    message.resume()
    await drained
    t.same(calls, ['paused', 'resumed', 'drained'])
    t.same(events, ['paused'], 'the call before is over')
    await reply.whenDrained(signal)
    reply.dispose()
  })

  t.test('is waited for until its request is given up', async (t) => {
    const open = await openReply(t)
    const { reply, events } = replyTo(open)
    await begin(open, reply)
    while (events.length === 0) {
      reply.push(text(chunk))
      reply.flush()
    }
    const abort = new AbortController()
    const drained = reply.whenDrained(abort.signal)
    const gone = new GatewayError('GW_CLIENT_STALLED')
    abort.abort(gone)
    await t.rejects(drained, gone)
    await t.rejects(reply.whenDrained(abort.signal), gone)
    reply.dispose()
  })
  t.end()
})

t.test('a client that has left gets nothing, and nothing breaks', async (t) => {
  const open = await openReply(t)
  const { reply } = replyTo(open)
  await begin(open, reply)
  open.leave()
  await once(open.response, 'close')
  for (let i = 0; i < 3; i++) {
    reply.push(text('x'))
    reply.flush()
  }
  reply.fail(new GatewayError('GW_CLIENT_CLOSED'))
  reply.dispose()
  await new Promise((resolve) => setImmediate(resolve)) // an error without listener would come now
  t.equal(open.response.destroyed, true)
})

/** What is written to the response, or past it to its socket. */
function recordWrites({ response }: OpenReply): string[] {
  const writes: string[] = []
  const { socket } = response
  const write = response.write.bind(response)
  if (socket === null) throw new Error('the response waits for another one')
  const writeSocket = socket.write.bind(socket)
  const end = response.end.bind(response)
  let isInside = false
  response.end = ((chunk: string) => {
    isInside = true
    return end(chunk)
  }) as typeof response.end
  response.write = ((chunk: string) => {
    writes.push(chunk)
    isInside = true
    const isFree = write(chunk)
    isInside = false
    return isFree
  }) as typeof response.write
  socket.write = ((...chunk: Parameters<typeof writeSocket>) => {
    if (!isInside) writes.push(String(chunk[0]))
    return writeSocket(...chunk)
  }) as typeof socket.write
  return writes
}

/** Besides that of Node's own server. */
function drainListeners({ response }: OpenReply, socket: Socket | null): number {
  return response.listenerCount('drain') + (socket?.listenerCount('drain') ?? 1) - 1
}

/** Lets the answer begin and its client have the headers. */
function begin(open: OpenReply, reply: StreamReply) {
  reply.onSent()
  reply.push(text('begun '))
  reply.flush()
  return open.received
}
