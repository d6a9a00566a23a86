import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { FrameDecoder, payloadTextOf } from '../../src/frames/frame-decoder.ts'
import { startSimulator, tick } from '../helper/run-simulator.ts'
import {
  bearer,
  eventsOf,
  generate,
  refusalOf,
  upstreamRequest
} from '../helper/simulator-request.ts'

t.test('faults', async (t) => {
  const { url } = await startSimulator(t)

  const STATUSES: [word: string, expected: object][] = [
    ['quota', { status: 402, reason: 'MONTHLY_REQUEST_COUNT' }],
    ['suspended', { status: 403, reason: 'TEMPORARILY_SUSPENDED' }],
    ['overloaded', { status: 500, message: /unexpectedly high load/ }],
    ['unavailable', { status: 503 }],
    ['context-overflow', { status: 400, reason: 'CONTENT_LENGTH_EXCEEDS_THRESHOLD' }],
    ['improper', { status: 400, message: 'Improperly formed request.' }],
    ['invalid-model', { status: 400, reason: 'INVALID_MODEL_ID' }]
  ]
  for (const [word, expected] of STATUSES) {
    t.test(`sim:${word} is a status, in the text and in the model name`, async (t) => {
      t.match(await refusalOf(generate(url, upstreamRequest(`hi sim:${word}`))), expected)
      const message = { modelId: `auto+sim:${word}` }
      t.match(await refusalOf(generate(url, upstreamRequest('hi', { message }))), expected)
    })
  }

  t.test('sim:documents-refused refuses documents alone', async (t) => {
    const documents = [{ name: 'a', format: 'txt', source: { bytes: 'YQ==' } }]
    const [bare, sent] = [{}, { documents }].map((message) =>
      generate(url, upstreamRequest('hi sim:documents-refused', { message }))
    )
    t.equal((await bare)?.status, 200)
    t.equal((await sent)?.status, 400)
  })

  t.test('sim:fields-refused refuses fields alone', async (t) => {
    const fields = { additionalModelRequestFields: { thinking: { type: 'adaptive' } } }
    const message = { modelId: 'claude-opus-5' }
    const bare = await generate(url, upstreamRequest('hi sim:fields-refused', { message }))
    t.equal(bare.status, 200)
    const payload = upstreamRequest('hi sim:fields-refused', { message })
    t.match(await refusalOf(generate(url, { ...payload, ...fields })), {
      status: 400,
      message: /additionalModelRequestFields/
    })
  })

  t.test('sim:throttled says when to come back', async (t) => {
    const response = await generate(url, upstreamRequest('hi sim:throttled=7'))
    t.equal(response.status, 429)
    t.equal(response.headers.get('retry-after'), '7')
  })

  t.test('sim:html is a page', async (t) => {
    const response = await generate(url, upstreamRequest('hi sim:html'))
    t.equal(response.status, 403)
    t.match(await response.text(), /^<html>/)
  })

  t.test('sim:flaky fails as often as asked, each prompt for itself', async (t) => {
    t.equal(await statusOf(url, 'a sim:flaky=2'), 500)
    t.equal(await statusOf(url, 'b sim:flaky=2'), 500)
    t.equal(await statusOf(url, 'a sim:flaky=2'), 500)
    t.equal(await statusOf(url, 'a sim:flaky=2'), 200)
  })

  t.test('sim:expired refuses the first token only', async (t) => {
    t.equal(await statusOf(url, 'sim:expired', 'old'), 403)
    t.equal(await statusOf(url, 'sim:expired', 'old'), 403)
    t.equal(await statusOf(url, 'sim:expired', 'new'), 200)
  })

  const BROKEN: [word: string, ending: RegExp][] = [
    ['reset', /ECONNRESET/],
    ['fin', /closed/]
  ]
  for (const [word, ending] of BROKEN) {
    t.test(`sim:${word} comes after half of the text`, async (t) => {
      const response = await generate(url, upstreamRequest(`hi sim:events=4 sim:${word}`))
      const decoder = new FrameDecoder()
      let frames = 0
      const read = async () => {
        for await (const chunk of response.body!) frames += decoder.feed(chunk).length
      }
      const error = await read().catch((cause: unknown) => cause)
      t.match(String((error as { cause?: unknown }).cause), ending)
      t.equal(frames, 2)
    })
  }

  t.test('sim:reset-first answers nothing at all', async (t) => {
    await t.rejects(generate(url, upstreamRequest('hi sim:reset-first')), {
      cause: { code: 'ECONNRESET' }
    })
  })

  t.test('sim:corrupt and sim:cut-frame fail the decoder', async (t) => {
    await t.rejects(readAnswer(url, 'sim:corrupt'), { code: 'GW_FRAME_CORRUPT' })
    await t.rejects(readAnswer(url, 'sim:cut-frame'), { code: 'GW_STREAM_TRUNCATED' })
  })

  t.test('sim:half-frame sends so much of a frame, and neither its rest nor an end', async (t) => {
    const response = await generate(url, upstreamRequest('hi sim:events=2 sim:half-frame=70000'))
    const reader = response.body!.getReader()
    const decoder = new FrameDecoder()
    const payloads: string[] = []
    let bytes = 0
    while (bytes < 70_000) {
      const { value } = await reader.read()
      bytes += value.length
      payloads.push(...decoder.feed(value).map(payloadTextOf))
    }
    t.equal(payloads.length, 1)
    t.throws(() => decoder.end(), { code: 'GW_STREAM_TRUNCATED' })
    await reader.cancel()
  })

  t.test('sim:header-names sends a frame that is all headers', async (t) => {
    await t.rejects(readAnswer(url, 'sim:header-names=65'), { code: 'GW_FRAME_TOO_LARGE' })
    await readAnswer(url, 'sim:header-names=64')
  })

  t.test('sim:empty-frames sends frames that say nothing', async (t) => {
    const response = await generate(url, upstreamRequest('hi sim:events=2 sim:empty-frames=5000'))
    const decoder = new FrameDecoder()
    const frames = decoder.feed(await response.bytes())
    decoder.end()
    const empty = frames.filter(({ headers }) => Object.keys(headers).length === 0)
    t.equal(empty.length, 5000)
  })

  for (const word of ['stall', 'stall-first', 'stall-headers']) {
    t.test(`sim:${word} waits until the client leaves`, async (t) => {
      const { url, simulator } = await startSimulator(t)
      const client = connect(Number(new URL(url).port), '127.0.0.1')
      const body = JSON.stringify(upstreamRequest(`hi sim:events=2 sim:${word}`))
      client.write(
        `POST /generateAssistantResponse HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\n` +
          `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
      )
      if (word !== 'stall-headers') await once(client, 'data')
      while (simulator.stats().inFlight === 0) await tick()
      client.destroy()
      while (simulator.stats().inFlight > 0) await tick()
      t.equal(simulator.stats().connections.open, 0)
    })
  }

  t.test('answers keep the connection, without a timeout', async (t) => {
    const keeping = await generate(url, upstreamRequest('hi'))
    t.equal(keeping.headers.get('connection'), 'keep-alive')
    t.equal(keeping.headers.get('keep-alive'), null)
  })
})

async function statusOf(url: string, text: string, token = 'good'): Promise<number> {
  return (await generate(url, upstreamRequest(text), bearer(token))).status
}

async function readAnswer(url: string, text: string) {
  return eventsOf(await generate(url, upstreamRequest(text)))
}
