import type { RequestListener } from 'node:http'
import { setImmediate as nextTurn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { PartReader } from '../../../src/dialects/answer/part-reader.ts'
import type { StreamPart } from '../../../src/dialects/answer/stream-part.ts'
import type { AnswerSink, AnswerSource } from '../../../src/reply/sinks.ts'
import { turnShare } from '../../../src/reply/answer-reader.ts'
import { Attempt, type AttemptOptions } from '../../../src/server/ask/attempt.ts'
import { Progress } from '../../../src/server/worker/open-turns.ts'
import { MeterReadings } from '../../../src/server/worker/meter-readings.ts'
import { GatewayError } from '../../../src/shared/errors.ts'
import { RequestPayload } from '../../../src/upstream/call/requests.ts'
import { CountingUpstream } from '../../helper/counting-upstream.ts'
import { failingConcat } from '../../helper/failing-memory.ts'
import { inTime, SETTLE_MS } from '../../helper/in-time.ts'
import { summarize } from '../../helper/read-answer.ts'
import { connectionPool } from '../../helper/recorded-exchange.ts'
import { replyPlan } from '../../helper/reply-plan.ts'
import { endFrame, eventFrame, exceptionFrame, textFrame } from '../../helper/upstream-frames.ts'

/** Remembers what it was told, in order. */
class RecordedSink implements AnswerSink {
  readonly hasBegun = false
  readonly calls: string[] = []
  readonly parts: StreamPart[] = []

  /** The client reads nothing. */
  isFull = false
  source: AnswerSource | null = null

  attach(source: AnswerSource): void {
    this.source = source
    if (this.isFull) source.pause()
  }

  async whenDrained(): Promise<void> {}

  onSent(): void {
    this.calls.push('sent')
  }

  onIdle(): void {
    this.calls.push('failed')
  }

  push(part: StreamPart): void {
    this.calls.push(part.type)
    this.parts.push(part)
  }

  flush(): void {
    this.calls.push('flush')
  }

  end(): void {
    this.calls.push('ended')
  }

  fail(): void {
    throw new Error('failing is the turn\u2019s')
  }

  dispose(): void {}
}

interface Changes extends Partial<AttemptOptions> {
  readonly stopSequences?: readonly string[]
  readonly onFirstPart?: () => void
  /** Its client has not read what the call before this one brought. */
  readonly isFull?: boolean
  readonly bodyTimeoutMs?: number
}

async function attempt(t: Test, onRequest: RequestListener, changes: Changes = {}) {
  const upstream = await CountingUpstream.start(t, onRequest)
  const pool = connectionPool(t)
  const sink = new RecordedSink()
  sink.isFull = changes.isFull === true
  const abort = new AbortController()
  const seen = { firstParts: 0, settlements: 0 }
  const settled = Promise.withResolvers<void>()
  const body = Buffer.alloc(100_000).fill('x')
  const progress = new Progress()
  const call = new Attempt({
    pool,
    request: {
      url: upstream.url,
      method: 'POST',
      headers: {},
      body,
      bodyTimeoutMs: changes.bodyTimeoutMs ?? 5000
    },
    token: 'secret-token',
    parts: new PartReader(replyPlan({ stopSequences: changes.stopSequences ?? [] })),
    room: { lend: () => {} },
    sink,
    progress,
    payload: new RequestPayload({
      bytes: body,
      memory: {
        growTo: () => t.fail('it does not grow'),
        shrinkTo: () => t.fail('it does not change'),
        shrinkToKept: () => {
          seen.firstParts += 1
          changes.onFirstPart?.()
        }
      }
    }),
    firstTokenTimeoutMs: 5000,
    onAccepted: () => {},
    signal: abort.signal,
    permit: {
      release: () => {
        seen.settlements += 1
        settled.resolve()
      }
    },
    ...changes
  })
  const over = async () => {
    const [outcome] = await Promise.all([call.outcome, settled.promise])
    return outcome
  }
  return { upstream, pool, sink, abort, seen, progress, body, call, over }
}

t.test('an answer', (t) => {
  t.test(
    'goes to the sink part by part, its usage is kept and its connection lives on',
    async (t) => {
      const { sink, seen, progress, body, call, pool, over } = await attempt(
        t,
        (_request, response) => {
          response.write(
            Buffer.concat([textFrame('a'), eventFrame('newEvent', {}), textFrame('b')])
          )
          response.end(endFrame)
        }
      )
      t.same(await over(), { name: 'answered' })
      t.match(summarize(sink.parts), { text: 'ab', reason: 'stop' })
      t.equal(sink.calls[0], 'sent')
      t.equal(sink.calls.at(-1), 'ended')
      t.same(seen, { firstParts: 1, settlements: 1 })
      t.equal(call.strangeEvents.count, 1)
      t.ok((progress.usage?.outputTokens ?? 0) > 0)
      t.equal(body.byteLength, 0, 'the memory of the request is free')
      t.match(pool.stats(), { idle: 1, busy: 0 })
    }
  )

  t.test('is written once for all that came at a time, with its end', async (t) => {
    const { sink, over } = await attempt(t, ({ socket }, response) => {
      socket.cork() // three chunks of HTTP that arrive together
      for (const text of ['a', 'b']) response.write(textFrame(text))
      response.end(endFrame)
    })
    t.same(await over(), { name: 'answered' })
    t.same(sink.calls, ['sent', 'text', 'text', 'end', 'ended'])
  })

  t.test('is written as soon as something has come', async (t) => {
    const flushed = Promise.withResolvers<void>()
    const { sink, over } = await attempt(t, (_request, response) => {
      response.write(textFrame('a'))
      void flushed.promise.then(() => response.end(endFrame))
    })
    sink.flush = () => {
      sink.calls.push('flush')
      flushed.resolve()
    }
    t.same(await over(), { name: 'answered' })
    t.same(sink.calls, ['sent', 'text', 'flush', 'end', 'ended'])
  })

  t.test('ends where it cannot be written', async (t) => {
    const { sink, over } = await attempt(t, (_request, response) => {
      response.write(textFrame('a'))
    })
    sink.flush = () => {
      throw new Error('a fault of the writer')
    }
    t.match(await over(), { name: 'failed', error: { code: 'GW_INTERNAL' } })
  })

  t.test('that comes faster than it can be read gives way to everything else', async (t) => {
    const piece = Buffer.concat(Array.from({ length: 1000 }, () => textFrame('a')))
    const { sink, over } = await attempt(t, (_request, response) => {
      response.write(Buffer.concat(Array.from({ length: 30 }, () => piece)))
      response.end(endFrame)
    })
    let most = 0
    let isOver = false
    const watch = async () => {
      for (let before = 0; !isOver; before = sink.parts.length) {
        await nextTurn()
        most = Math.max(most, sink.parts.length - before)
      }
    }
    await Promise.all([watch(), over().then(() => (isOver = true))])
    t.equal(summarize(sink.parts).text.length, 30_000)
    t.ok(most <= 2000, `${most} parts in one turn of the event loop`)
  })

  t.test('shares its turn with all others that come as fast', async (t) => {
    const piece = Buffer.concat(Array.from({ length: 1000 }, () => textFrame('a')))
    const answers = await Promise.all(
      Array.from({ length: 5 }, () =>
        attempt(t, (_request, response) => {
          response.write(Buffer.concat(Array.from({ length: 10 }, () => piece)))
          response.end(endFrame)
        })
      )
    )
    const read = (): number => answers.reduce((sum, { sink }) => sum + sink.parts.length, 0)
    let most = 0
    let isOver = false
    const watch = async () => {
      for (let before = 0; !isOver; before = read()) {
        await nextTurn()
        most = Math.max(most, read() - before)
      }
    }
    const all = Promise.all(answers.map(({ over }) => over()))
    await Promise.all([watch(), all.then(() => (isOver = true))])
    for (const { sink } of answers) t.equal(summarize(sink.parts).text.length, 10_000)
    t.ok(most <= 3200, `${most} parts in one turn of the event loop`)
  })

  t.test(
    'that comes faster than it can be read is whole, however its connection ends',
    async (t) => {
      const words = Buffer.concat(Array.from({ length: 3000 }, () => textFrame('a')))
      const whole = Buffer.concat([words, endFrame])
      const isCut = { error: { code: 'GW_UPSTREAM_STATUS' }, phase: 'answering' }
      for (const [header, body, outcome] of [
        [`content-length: ${whole.byteLength}`, whole, { name: 'answered' }],
        ['connection: close', whole, { name: 'answered' }],
        [
          'transfer-encoding: chunked',
          Buffer.from(`fffff\r\n${words.toString('latin1')}`, 'latin1'),
          isCut
        ]
      ] as const) {
        const answers = await Promise.all(
          Array.from({ length: 5 }, () =>
            attempt(t, ({ socket }) => {
              const head = `HTTP/1.1 200 OK\r\nconnection: close\r\n${header}\r\n\r\n`
              socket.end(Buffer.concat([Buffer.from(head), body])) // its end comes with the last of it
            })
          )
        )
        for (const { sink, over } of answers) {
          t.match(await over(), outcome, header)
          t.equal(summarize(sink.parts).text.length, 3000, header)
        }
      }
    }
  )

  t.test('that stops at a stop sequence leaves the rest', async (t) => {
    const { sink, seen, pool, over, upstream } = await attempt(
      t,
      (_request, response) => void response.write(textFrame('one STOP two')),
      { stopSequences: ['STOP'] }
    )
    t.same(await over(), { name: 'answered' })
    t.match(summarize(sink.parts), { text: 'one ', reason: 'stop-sequence' })
    t.equal(seen.settlements, 1)
    t.match(pool.stats(), { idle: 0, busy: 0 })
    await upstream.empty()
  })

  t.test('that never begins ends with the first token\u2019s deadline', async (t) => {
    const { sink, seen, body, over } = await attempt(t, () => {}, { firstTokenTimeoutMs: 30 })
    t.match(await over(), {
      name: 'failed',
      error: { code: 'GW_UPSTREAM_HEADERS_TIMEOUT' },
      phase: 'sent'
    })
    t.same(sink.calls, ['sent', 'failed'])
    t.same([seen.firstParts, seen.settlements], [0, 1])
    t.equal(body.byteLength, 100_000, 'it may be sent again')
  })

  t.test('is not read for a client that reads nothing, however long that takes', async (t) => {
    const { sink, call, over } = await attempt(
      t,
      (_request, response) => void response.end(Buffer.concat([textFrame('a'), endFrame])),
      { isFull: true, firstTokenTimeoutMs: 20 }
    )
    const witness = await attempt(t, () => {}, { firstTokenTimeoutMs: 100 })
    t.match(await witness.over(), { error: { code: 'GW_UPSTREAM_HEADERS_TIMEOUT' } })
    t.same(sink.parts, [])
    t.equal(sink.source, call)
    sink.source?.resume()
    t.same(await over(), { name: 'answered' })
    t.match(summarize(sink.parts), { text: 'a' })
  })

  t.test('whose headers alone have come has not begun', async (t) => {
    const { over } = await attempt(t, (_request, response) => response.flushHeaders(), {
      firstTokenTimeoutMs: 2000 // by then they have come, on a busy machine, too
    })
    t.match(await over(), { error: { code: 'GW_UPSTREAM_HEADERS_TIMEOUT' }, phase: 'headers' })
  })

  t.test('that has begun may take its time', async (t) => {
    const { progress, over } = await attempt(
      t,
      (_request, response) => {
        response.write(textFrame('a'))
        setTimeout(() => response.end(endFrame), 3500)
      },
      { firstTokenTimeoutMs: 3000 }
    )
    t.same(await over(), { name: 'answered' })
    t.ok(progress.usage)
  })
  t.end()
})

t.test('an answer that breaks', (t) => {
  for (const [what, bytes, code] of [
    ['inside a frame', textFrame('half').subarray(0, 30), 'GW_STREAM_TRUNCATED'],
    ['with bytes that are no frame', Buffer.from('<html>an error page</html>'), /GW_FRAME/],
    ['with an exception', exceptionFrame('ThrottlingException', 'slow'), 'GW_UPSTREAM_RATE_LIMITED']
  ] as const) {
    for (const hasAnswered of [false, true]) {
      t.test(`${what}, ${hasAnswered ? 'after' : 'before'} its first part`, async (t) => {
        const began = Promise.withResolvers<void>()
        const { sink, seen, over } = await attempt(
          t,
          (_request, response) => {
            if (!hasAnswered) response.end(bytes)
            else response.write(textFrame('so far'))
            void began.promise.then(() => response.end(bytes))
          },
          { onFirstPart: () => began.resolve() }
        )
        const outcome = await over()
        t.equal(seen.settlements, 1)
        t.equal(summarize(sink.parts).text, hasAnswered ? 'so far' : '')
        if (hasAnswered && what === 'inside a frame') {
          t.match(outcome, { name: 'answered', lostBy: { code } })
          t.equal(summarize(sink.parts).reason, 'length')
          t.equal(sink.calls.at(-1), 'ended')
          return
        }
        const phase = hasAnswered ? 'answering' : 'headers'
        t.match(outcome, { name: 'failed', error: { code }, phase })
        if (hasAnswered) t.ok(sink.calls.lastIndexOf('flush') > sink.calls.lastIndexOf('text'))
        t.notOk(sink.calls.includes('ended'))
        t.equal(sink.calls.filter((call) => call === 'failed').length, 1)
      })
    }
  }

  t.test('because its connection did, is a failure of the upstream', async (t) => {
    const { sink, over } = await attempt(t, (request, response) => {
      response.write(textFrame('so far'), () => request.socket.resetAndDestroy())
    })
    t.match(await over(), { error: { code: 'GW_UPSTREAM_RESET' }, fault: null })
    t.notOk(sink.calls.includes('ended'))
  })

  t.test('behind what closes it, is whole', async (t) => {
    const { sink, over } = await attempt(t, (request, response) => {
      response.write(Buffer.concat([textFrame('all'), endFrame]), () =>
        request.socket.resetAndDestroy()
      )
    })
    t.same(await over(), { name: 'answered' })
    t.match(summarize(sink.parts), { text: 'all', reason: 'stop' })
    t.equal(sink.calls.at(-1), 'ended')
  })

  t.test('because it fell silent, is a failure', async (t) => {
    const { sink, over } = await attempt(
      t,
      (_request, response) => {
        response.write(textFrame('so far'))
      },
      { bodyTimeoutMs: 1000 }
    )
    t.match(await over(), { name: 'failed', error: { code: 'GW_UPSTREAM_IDLE_TIMEOUT' } })
    t.notOk(sink.calls.includes('ended'))
  })
  t.end()
})

t.test('a refusal', (t) => {
  t.test('is read, and its remedy is known', async (t) => {
    const { seen, over, pool } = await attempt(t, (_request, response) => {
      response.statusCode = 429
      response.end('{"__type":"ThrottlingException","message":"slow down, secret-token"}')
    })
    const outcome = await over()
    t.match(outcome, {
      name: 'failed',
      error: { code: 'GW_UPSTREAM_RATE_LIMITED' },
      phase: 'headers'
    })
    t.match(outcome, { fault: { remedy: String } })
    t.notMatch(JSON.stringify(outcome), /secret-token/)
    t.equal(seen.settlements, 1)
    t.match(pool.stats(), { idle: 1 })
  })

  t.test('whose body breaks off still is that refusal', async (t) => {
    const { over } = await attempt(t, (request, response) => {
      response.writeHead(403, { 'content-length': 1000 })
      response.write('{"message":', () => request.socket.destroy())
    })
    t.match(await over(), { name: 'failed', fault: { status: 403 } })
  })

  t.test('for whose body there is no memory is told by its status', async (t) => {
    using failing = new DisposableStack()
    const { seen, over } = await attempt(t, (_request, response) => {
      response.statusCode = 429
      response.end('{"__type":"ThrottlingException","message":"slow down"}')
      failing.use(failingConcat())
    })
    const outcome = await over()
    t.match(outcome, { name: 'failed', error: { code: 'GW_UPSTREAM_RATE_LIMITED' } })
    t.equal(seen.settlements, 1)
  })
  t.test('that has no end is not read for ever', async (t) => {
    const { over, upstream } = await attempt(t, refuseForEver, {
      firstTokenTimeoutMs: 600_000
    })
    t.match(await over(), { name: 'failed', fault: { status: 500 } })
    await upstream.empty()
  })
  t.end()
})

t.test('a client that leaves', (t) => {
  t.test('ends it with its own reason, and its permit is back in time', async (t) => {
    await inTime(t, SETTLE_MS, async () => {
      const began = Promise.withResolvers<void>()
      const { abort, seen, call, over, upstream } = await attempt(t, () => began.resolve())
      await began.promise
      const error = new GatewayError('GW_CLIENT_CLOSED')
      const leftAt = performance.now()
      abort.abort(error)
      t.match(await call.outcome, { name: 'failed', error })
      await over()
      const tookMs = performance.now() - leftAt
      t.equal(seen.settlements, 1)
      await upstream.empty()
      return tookMs
    })
  })

  t.test('before it began costs nothing', async (t) => {
    const error = new GatewayError('GW_CLIENT_CLOSED')
    const { seen, over, upstream } = await attempt(t, () => {}, {
      signal: AbortSignal.abort(error)
    })
    t.match(await over(), { name: 'failed', error, phase: 'connecting' })
    t.equal(seen.settlements, 1)
    t.equal(upstream.requests, 0)
  })
  t.end()
})

const metering = eventFrame('meteringEvent', { unit: 'credit', usage: 8 })

/** What has an attempt read on, as the plane does. */
function readOnWith(readings: MeterReadings, isUnpriced = false): Changes {
  return {
    readOn: (stop) => readings.begin({ key: 'anna', isUnpriced, stop }),
    outlivesClient: isUnpriced
  }
}

/** No request lacks a connection. */
const missing = (): number => 0
const connections = (): number => 20

function takeNothing(): boolean {
  throw new RangeError('Array buffer allocation failed')
}

t.test('an answer that is over for its client', (t) => {
  const stops = { stopSequences: ['STOP'] }

  t.test('is read on for its metering, and holds nothing back', async (t) => {
    const held = Promise.withResolvers<void>()
    const readings = new MeterReadings({ missing, connections })
    const { call, sink, seen, pool, over } = await attempt(
      t,
      (_request, response) => {
        response.write(textFrame('one STOP two'))
        void held.promise.then(() =>
          response.end(Buffer.concat([textFrame(' three four'), endFrame, metering]))
        )
      },
      { ...stops, ...readOnWith(readings) }
    )
    t.same(await call.outcome, { name: 'answered' })
    t.match(summarize(sink.parts), { text: 'one ', reason: 'stop-sequence' })
    t.equal(sink.calls.at(-1), 'ended')
    t.same(
      [call.meter.credits, call.isReadOut, seen.settlements, readings.size],
      [null, false, 0, 1]
    )
    const said = call.meter.saidTokens
    const { length } = sink.calls
    held.resolve()
    await call.reading
    await over()
    t.same([call.meter.credits, call.isReadOut, seen.settlements, readings.size], [8, true, 1, 0])
    t.ok(call.meter.saidTokens > said, 'what came since is counted')
    t.equal(sink.calls.length, length, 'and nothing of it came out')
    t.match(pool.stats(), { idle: 1, busy: 0 }, 'its connection lives on')
  })

  t.test('is not read on for what has come with its end', async (t) => {
    const readings = new MeterReadings({ missing, connections })
    const whole = Buffer.concat([textFrame('one STOP two'), endFrame, metering])
    const { call, over } = await attempt(t, (_request, response) => void response.end(whole), {
      ...stops,
      ...readOnWith(readings)
    })
    await call.outcome
    t.same([call.meter.credits, call.isReadOut], [8, true])
    await over()
    await call.reading
    t.equal(readings.size, 0)
  })

  t.test('by an exception, may be metered behind that', async (t) => {
    const readings = new MeterReadings({ missing, connections })
    const { call, over } = await attempt(
      t,
      (_request, response) => {
        response.write(textFrame('so far'))
        response.write(exceptionFrame('InternalServerException', 'broken'))
        setTimeout(() => response.end(metering), 20)
      },
      readOnWith(readings)
    )
    t.match(await call.outcome, { name: 'failed', phase: 'answering' })
    await call.reading
    await over()
    t.equal(call.meter.credits, 8)
  })

  for (const [how, bounds] of [
    ['for long', { ms: 20 }],
    ['for many bytes', { bytes: 1000 }]
  ] as const) {
    t.test(`is not read on ${how}`, async (t) => {
      const readings = new MeterReadings({ missing, connections, bounds })
      const { call, upstream, over } = await attempt(
        t,
        (_request, response) => {
          response.write(textFrame('one STOP two'))
          setTimeout(() => response.write(textFrame('x'.repeat(2000))), how === 'for long' ? 0 : 1)
        },
        { ...stops, ...readOnWith(readings) }
      )
      await call.outcome
      await call.reading
      await over()
      t.same([call.meter.credits, call.isReadOut, readings.size], [null, false, 0])
      await upstream.empty()
    })
  }

  t.test('is left where what follows cannot be read', async (t) => {
    for (const rest of [
      Buffer.from('<html>an error page</html>'),
      textFrame('x'.repeat(200_000))
    ]) {
      const readings = new MeterReadings({ missing, connections })
      const { call, upstream, over } = await attempt(
        t,
        (_request, response) => {
          response.write(textFrame('one STOP two'), () => void response.write(rest))
        },
        { ...stops, ...readOnWith(readings) }
      )
      t.same(await call.outcome, { name: 'answered' })
      await call.reading
      await over()
      t.equal(call.meter.credits, null)
      await upstream.empty()
    }
  })

  t.test('is left where there is no memory for what waited for a turn', async (t) => {
    const readings = new MeterReadings({ missing, connections })
    const readOn: AttemptOptions['readOn'] = (stop) => {
      turnShare.spend(1024 * 1024) // so that the rest waits
      const reading = readings.begin({ key: 'anna', isUnpriced: false, stop })
      return reading === null ? null : Object.assign(reading, { take: takeNothing })
    }
    const { call, upstream, over } = await attempt(
      t,
      ({ socket }, response) => {
        socket.cork() // two chunks that arrive together
        response.write(textFrame('one STOP two'))
        response.write(textFrame('three'))
        socket.uncork()
      },
      { ...stops, readOn }
    )
    t.same(await call.outcome, { name: 'answered' })
    await call.reading
    await over()
    t.equal(readings.size, 0)
    await upstream.empty()
  })

  t.test('is read on although its client has not read the rest', async (t) => {
    const readings = new MeterReadings({ missing, connections })
    const { call, sink, over } = await attempt(
      t,
      (_request, response) => {
        response.write(textFrame('one STOP two'))
        setTimeout(() => response.end(metering), 50)
      },
      { ...stops, ...readOnWith(readings) }
    )
    await call.outcome
    sink.source?.pause()
    await call.reading
    await over()
    t.equal(call.meter.credits, 8)
  })

  t.test('because that has left, is read on while nobody knows the price', async (t) => {
    for (const before of [Buffer.alloc(0), textFrame('one')]) {
      const readings = new MeterReadings({ missing, connections })
      const began = Promise.withResolvers<void>()
      const left = Promise.withResolvers<void>()
      const { abort, call, sink, body, over } = await attempt(
        t,
        (_request, response) => {
          if (before.length > 0) response.write(before)
          began.resolve()
          void left.promise.then(() =>
            response.end(Buffer.concat([textFrame('two'), endFrame, metering]))
          )
        },
        { ...readOnWith(readings, true), ...(before.length > 0 && { onFirstPart: began.resolve }) }
      )
      await began.promise
      const error = new GatewayError('GW_CLIENT_CLOSED')
      abort.abort(error)
      t.match(await call.outcome, { name: 'failed', error })
      const { length } = sink.calls
      left.resolve()
      await call.reading
      await over()
      t.same([call.meter.credits, call.isReadOut], [8, true])
      t.equal(sink.calls.length, length)
      t.equal(body.byteLength, 0, 'the memory of the request is free')
    }
  })

  t.test('because that has left, costs nothing where the upstream refuses it', async (t) => {
    const readings = new MeterReadings({ missing, connections })
    const began = Promise.withResolvers<void>()
    const left = Promise.withResolvers<void>()
    const { abort, call, over } = await attempt(
      t,
      (_request, response) => {
        began.resolve()
        void left.promise.then(() => response.writeHead(429).end('{}'))
      },
      readOnWith(readings, true)
    )
    await began.promise
    abort.abort(new GatewayError('GW_CLIENT_CLOSED'))
    await call.outcome
    left.resolve()
    await call.reading
    await over()
    t.equal(call.isRefused, true)
  })

  t.test('because the gateway ends it, is not read on', async (t) => {
    const readings = new MeterReadings({ missing, connections })
    const began = Promise.withResolvers<void>()
    const { abort, call, over, upstream } = await attempt(
      t,
      () => began.resolve(),
      readOnWith(readings, true)
    )
    await began.promise
    abort.abort(new GatewayError('GW_DRAINING'))
    await over()
    t.equal(call.reading, null)
    await upstream.empty()
  })
  t.end()
})

/** An error page without end. */
const refuseForEver: RequestListener = (_request, response) => {
  response.statusCode = 500
  const write = (): void => {
    if (!response.destroyed) response.write('x'.repeat(65_536), write)
  }
  write()
}
