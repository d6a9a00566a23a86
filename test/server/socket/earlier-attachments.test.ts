import { text } from 'node:stream/consumers'
import OpenAI from 'openai'
import type { ResponseInput, ResponsesServerEvent } from 'openai/resources/responses/responses'
import { ResponsesWS } from 'openai/resources/responses/ws'
import t, { type Test } from 'tap'
import { CountingUpstream } from '../../helper/counting-upstream.ts'
import { FakePrimary } from '../../helper/fake-primary.ts'
import { smallPdf } from '../../helper/small-pdf.ts'
import { stateFolder } from '../../helper/state-folder.ts'
import { endFrame, textFrame } from '../../helper/upstream-frames.ts'

/** A white PNG of eight by eight. */
const IMAGE =
  'iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAD0lEQVR42mP4jwMwDC0JALoev0GJ6La7AAAAAElFTkSuQmCC'
const PDF = smallPdf(['A page.']).toString('base64')
const MODEL = 'claude-opus-5'
const CALL = { type: 'function_call', call_id: 'call_1', name: 'look', arguments: '{}' } as const

/** A picture and a PDF of the user, and a picture that a tool has made. */
const FIRST: ResponseInput = [
  {
    role: 'user',
    content: [
      { type: 'input_text', text: 'What is this?' },
      { type: 'input_image', image_url: `data:image/png;base64,${IMAGE}`, detail: 'auto' },
      {
        type: 'input_file',
        filename: 'report.pdf',
        file_data: `data:application/pdf;base64,${PDF}`
      }
    ]
  }
]

type Ask = (input: ResponseInput, previousId: string | null) => Promise<string>

async function setUp(t: Test) {
  const asked: string[] = []
  const upstream = await CountingUpstream.start(t, (request, response) => {
    const answer = async (): Promise<void> => {
      asked.push(await text(request))
      response.write(textFrame('a picture'))
      response.end(endFrame)
    }
    void answer() // the request is read, or the test has failed
  })
  const env = { PROXY_API_KEY: 'good-key', STATE_DIR: stateFolder(t) }
  const { url } = await FakePrimary.start(t, upstream.url, { env })
  const client = new OpenAI({ apiKey: 'good-key', baseURL: `${url}/v1`, maxRetries: 0 })
  return { client, asked }
}

function overHttp(client: OpenAI): Ask {
  return async (input, previous_response_id) => {
    const { id } = await client.responses.create({ model: MODEL, input, previous_response_id })
    return id
  }
}

function overWebSocket(t: Test, client: OpenAI): Ask {
  const socket = new ResponsesWS(client)
  t.teardown(() => socket.close())
  return async (input, previous_response_id) => {
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    const onEvent = (event: ResponsesServerEvent): void => {
      if (event.type === 'response.completed') resolve(event.response.id)
      if (event.type === 'error') reject(new Error(JSON.stringify(event)))
    }
    socket.on('event', onEvent)
    socket.on('error', reject)
    const asked = { model: MODEL, input, previous_response_id, store: false }
    socket.send({ type: 'response.create', ...asked })
    try {
      return await promise
    } finally {
      socket.off('event', onEvent)
      socket.off('error', reject)
    }
  }
}

for (const how of ['over HTTP', 'over a WebSocket'] as const) {
  t.test(`pictures and documents of earlier turns are sent again, ${how}`, async (t) => {
    const { client, asked } = await setUp(t)
    const ask = how === 'over HTTP' ? overHttp(client) : overWebSocket(t, client)
    let id = await ask(FIRST, null)
    const shown = { type: 'input_image', image_url: `data:image/png;base64,${IMAGE}` } as const
    const output = [{ ...shown, detail: 'auto' }] as const
    id = await ask(
      [CALL, { type: 'function_call_output', call_id: CALL.call_id, output: [...output] }],
      id
    )
    id = await ask([{ role: 'user', content: 'And now?' }], id)
    await ask([{ role: 'user', content: 'In one word?' }], id)
    const counts = asked.map((body) => [timesIn(body, IMAGE), timesIn(body, PDF)])
    t.same(counts, [
      [1, 1],
      [2, 1],
      [2, 1],
      [2, 1]
    ])
    t.match(asked[3], /What is this\?.*And now\?.*In one word\?/s)
  })
}

function timesIn(text: string, part: string): number {
  return text.split(part).length - 1
}
