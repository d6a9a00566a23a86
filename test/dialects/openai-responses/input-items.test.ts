import t from 'tap'
import {
  listInputItems,
  readInputPage,
  toStoredInput
} from '../../../src/dialects/openai-responses/stored-response.ts'

const RESPONSE = `resp_${'0a'.repeat(16)}`

function fileOf(input: readonly object[]): Buffer {
  const stored = toStoredInput(Buffer.from(JSON.stringify({ model: 'auto', input })), [RESPONSE])
  return Buffer.from(`{"${RESPONSE}.input":${String(stored)}}`)
}

async function listed(file: Buffer, query: string): Promise<readonly string[]> {
  const list = await listInputItems(RESPONSE, file, readInputPage(new URLSearchParams(query)))
  const { data } = list as { readonly data: readonly { readonly content: readonly unknown[] }[] }
  return data.map(({ content: [part] }) => String(Reflect.get(Object(part), 'text')))
}

t.test('a page begins behind any of thousands of items', async (t) => {
  const own: Readonly<Record<number, string>> = { 3: 'first', 700: 'a "quoted" id', 1499: 'last' }
  const input = Array.from({ length: 1500 }, (_, index) => ({
    role: 'user',
    content: `${index}`,
    ...(own[index] !== undefined && { id: own[index] })
  }))
  const file = fileOf(input)
  t.same(await listed(file, 'order=asc&limit=2'), ['0', '1'])
  t.same(await listed(file, 'limit=2'), ['1499', '1498'])
  for (const [index, id] of Object.entries(own)) {
    const next = [Number(index) + 1, Number(index) - 1].map(String)
    const query = `limit=1&after=${encodeURIComponent(id)}`
    t.same(await listed(file, `order=asc&${query}`), id === 'last' ? [] : next.slice(0, 1))
    t.same(await listed(file, query), next.slice(1))
  }
  const made = `msg_${RESPONSE.slice(5, -4)}${(0x8000 + 1000).toString(16)}`
  t.same(await listed(file, `order=asc&limit=1&after=${made}`), ['1001'])
  await t.rejects(listed(file, 'after=unknown'), { code: 'GW_BODY_INVALID' })
  t.equal(
    await listInputItems(RESPONSE, Buffer.from('{}'), readInputPage(new URLSearchParams())),
    null
  )
})

t.test('others have their turns while a long input is listed', async (t) => {
  const file = fileOf(
    Array.from({ length: 20_000 }, () => ({ role: 'user', content: 'x'.repeat(20) }))
  )
  let turns = 0
  let isListing = true
  const count = (): void => {
    turns += 1
    if (isListing) setImmediate(count)
  }
  setImmediate(count)
  await listed(file, 'limit=1')
  isListing = false
  t.ok(turns > 10, `${turns}`)
})
