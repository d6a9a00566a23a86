import t from 'tap'
import {
  responseKeyOf,
  toItemId,
  toResponseId
} from '../../../src/dialects/openai-responses/output-items.ts'

const hex = '0123456789abcdef0123456789abcdef'
const id = toResponseId(hex)

t.test('ids of items are unique, of one length, and lead to their response', async (t) => {
  const ids = new Set<string>()
  for (let index = 0; index < 5000; index++) ids.add(toItemId('msg', id, index))
  t.equal(ids.size, 5000)
  for (const one of ids) {
    if (!/^msg_[0-9a-f]{32}$/.test(one)) t.fail(one)
    if (responseKeyOf(one) !== responseKeyOf(id)) t.fail(one)
  }
  t.equal(responseKeyOf(id), hex.slice(0, 28))
  t.equal(responseKeyOf(toItemId('ctc', id, 0xffff)), hex.slice(0, 28))
})

t.test('more items than digits: still unique, and not found', async (t) => {
  const beyond = toItemId('fc', id, 0x10000)
  t.not(beyond, toItemId('fc', id, 0x1000))
  t.equal(responseKeyOf(beyond), null)
})

t.test('foreign ids have no key', async (t) => {
  for (const foreign of [
    '',
    'msg_1',
    hex,
    `xx_${hex}`,
    `msg_${hex}0`,
    `msg_${hex}\n`,
    ` msg_${hex}`,
    `msg_${hex.toUpperCase()}`,
    `msg_${'../'.repeat(10)}ab`
  ]) {
    t.equal(responseKeyOf(foreign), null, JSON.stringify(foreign))
  }
})
