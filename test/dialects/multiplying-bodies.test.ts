import t from 'tap'
import { convertBody, convertRequest, type DialectName } from '../../src/dialects/dialect.ts'
import { refusalOf } from '../helper/convert.ts'
import { multiplyingBodies } from '../helper/multiplying-bodies.ts'
import { isNightly } from '../helper/nightly.ts'
import { requestOptions } from '../helper/request-options.ts'

const KIB = 1024

t.test('no request becomes many times its size', async (t) => {
  for (const { name, dialect, bodyOf } of multiplyingBodies) {
    for (const kb of [16, 124, isNightly ? 2048 : 512]) {
      const body = Buffer.from(JSON.stringify(bodyOf(kb * KIB)))
      const bytes = payloadBytesOf(dialect, body)
      const max = 2 * body.byteLength + 256 * KIB
      t.ok(bytes <= max, `${name}: ${body.byteLength} bytes became ${bytes}`)
    }
  }
})

t.test('one that would is refused, with words that help', async (t) => {
  const messages = Array.from({ length: 20_000 }, (_, at) => ({
    role: at % 2 === 0 ? 'user' : 'assistant',
    content: 'a'
  }))
  const body = { model: 'm'.repeat(250), messages }
  const told = {
    code: 'GW_BODY_TOO_LARGE',
    message: /wrapper of its own that repeats the model name/
  }
  t.match(refusalOf('openai-chat', body), told)
  t.match(refusalOf('anthropic-messages', body), told)
})

t.test('bytes that are called text and are none are refused with their place', async (t) => {
  const data = Buffer.alloc(5000).toString('base64')
  const source = { type: 'base64', media_type: 'text/plain', data }
  t.match(refusalOf('anthropic-messages', said({ type: 'document', source })), {
    code: 'GW_BODY_INVALID',
    param: 'messages[0].content[0].source.data'
  })
  const file = { file_data: `data:text/plain;base64,${data}`, filename: 'a.txt' }
  t.match(refusalOf('openai-chat', said({ type: 'file', file })), {
    param: 'messages[0].content[0]'
  })
})

t.test('what one URL leads to is in a request once, however often it is named', async (t) => {
  const url = 'https://example.com/a.png'
  const image = { type: 'image', source: { type: 'url', url } }
  const body = Buffer.from(JSON.stringify(said(...Array.from({ length: 1000 }, () => image))))
  const base64 = `iVBORw0KGgoA${'A'.repeat(100_000)}`
  const fetched = { [url]: { kind: 'image', mediaType: 'image/png', base64 } as const }
  const whole = convertBody('anthropic-messages', body, requestOptions(), { fetched, pdfs: [] })
  if (whole.type !== 'converted') throw new Error(whole.type)
  const { payload } = whole
  t.ok(payload.byteLength < body.byteLength + 2 * base64.length)
  t.equal(Buffer.from(payload).toString().split(base64).length, 2)
})

function said(...content: readonly object[]): object {
  return { model: 'auto', messages: [{ role: 'user', content }] }
}

function payloadBytesOf(dialect: DialectName, body: Uint8Array): number {
  try {
    return convertRequest(dialect, body, requestOptions()).payload.byteLength
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'GW_BODY_TOO_LARGE') return 0
    throw error
  }
}
