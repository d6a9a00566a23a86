import t from 'tap'
import { parseJsonBody, refuseCostly } from '../../../src/dialects/plan/json-body.ts'
import { outlineText } from '../../../src/shared/json.ts'

const text = '{"a":[1,{"b":"{[:,\\"{[:,"}],"c":[]}'

t.test('outlineText() counts what stands outside strings', async (t) => {
  t.same(outlineText(Buffer.from(text), 9), {
    isDeeper: false,
    objects: 2,
    arrays: 2,
    members: 3,
    commas: 2
  })
})

t.test('refuseCostly() takes what just fits and refuses one byte less', async (t) => {
  for (const [json, bytesPerByte] of [
    [text, 2],
    [text.replace('b', 'ü'), 4]
  ] as const) {
    const bytes = Buffer.from(json)
    const built = 2 * 600 + 2 * 120 + 3 * 100 + 2 * 12
    const heapBytes = bytes.byteLength * bytesPerByte + built
    const outline = outlineText(bytes, 9)
    refuseCostly(bytes, outline, heapBytes)
    t.throws(() => refuseCostly(bytes, outline, heapBytes - 1), {
      code: 'GW_BODY_TOO_LARGE',
      message: /of 2 objects with 3 members and 2 arrays/
    })
  }
})

t.test('parseJsonBody() trusts a body of up to a megabyte', async (t) => {
  t.ok(parseJsonBody(sized(2 ** 20), 1))
  t.throws(() => parseJsonBody(sized(2 ** 20 + 1), 1), { code: 'GW_BODY_TOO_LARGE' })
  t.ok(parseJsonBody(sized(2 ** 20 + 1)), 'and any where nothing bounds it')
})

function sized(bytes: number): Buffer {
  return Buffer.from(`{"a":"${'x'.repeat(bytes - 8)}"}`)
}
