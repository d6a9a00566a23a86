import t from 'tap'
import {
  type KeptConversation,
  KeptConversations
} from '../../../src/server/socket/kept-conversations.ts'
import { NO_ENTRIES } from '../../../src/kiro/tokens/request-tokens.ts'
import type { KeptTurns } from '../../../src/server/turn/kept-turns.ts'

const KB = 1024

function setUp(maxKb: number) {
  const spare = { bytes: 0, giveBack: (_bytes: number): void => {} }
  const budget = {
    lend: (giveBack: typeof spare.giveBack) => Object.assign(spare, { giveBack }),
    spareBytes: Infinity
  }
  return { kept: new KeptConversations({ budget, maxBytes: () => maxKb * KB }), spare }
}

function conversation(responseId: string, kb: number, owner = 'one'): KeptConversation {
  return { owner, responseId, items: [], bytes: kb * KB, chain: null, turns: null }
}

/** Turns of so many bytes, and what is known of them. */
function turnsOf(kb: number): KeptTurns {
  const text = { bytes: kb * KB, chars: kb * KB, counts: NO_ENTRIES, weight: null, counted: null }
  const settled = {
    entries: 2,
    ground: '',
    images: 0,
    reasoning: 'none' as const,
    signatures: [],
    repairs: [],
    ids: { conversation: 'c', root: 'c' },
    turn: { number: 1, text: '' },
    start: { conversationId: 'c', systemText: '', isGrown: true }
  }
  return { settled, text, pieces: [], parts: 2, tools: null }
}

t.test('conversations lose what saves time before one of them has to go', async (t) => {
  const { kept, spare } = setUp(1_000)
  const [one, two, three] = [{}, {}, {}]
  kept.keep(one, conversation('1', 200))
  kept.keepTurns(one, '1', turnsOf(200))
  kept.keep(two, conversation('2', 200))
  kept.keepTurns(two, '2', turnsOf(200))
  t.ok(kept.find(one, '1')?.turns, 'there is room for turns')
  kept.keep(three, conversation('3', 300))
  t.equal(kept.size, 3)
  t.equal(kept.find(two, '2')?.turns, null, 'what was used longest ago goes first')
  t.ok(kept.find(one, '1')?.turns)
  spare.giveBack(100 * KB)
  t.equal(kept.find(one, '1')?.turns, null, 'a request needs memory')
  t.equal(kept.size, 3)
  t.equal(spare.bytes, kept.bytes)
  kept.keepTurns(three, '3', turnsOf(400))
  t.equal(kept.find(three, '3')?.turns, null, 'nothing goes for turns')
  t.equal(kept.size, 3)
  kept.keepTurns(three, 'another', turnsOf(1))
  t.equal(kept.find(three, '3')?.turns, null, 'turns of another conversation are not kept')
  for (const connection of [one, two, three]) kept.forget(connection)
  t.equal(kept.bytes, 0)
})

t.test('the key with the most makes room, for others and for itself', async (t) => {
  const { kept, spare } = setUp(1_000)
  const [other, ...own] = Array.from({ length: 6 }, () => ({}))
  if (other === undefined) throw new Error('there are six')
  kept.keep(other, conversation('small', 200, 'other'))
  kept.keepTurns(other, 'small', turnsOf(20))
  for (const one of own) kept.keep(one, conversation('large', 300))
  t.ok(
    kept.find(other, 'small')?.turns,
    'it was used longest ago, and its key has less than its share'
  )
  t.equal(kept.size, 3)
  kept.keep({}, conversation('whole', 900))
  t.ok(kept.find(other, 'small'), 'what is more than a share beside others is not kept')
  t.equal(kept.size, 1)
  for (const one of own) kept.keep(one, conversation('large', 300))
  spare.giveBack(kept.bytes - 600 * KB)
  t.ok(kept.find(other, 'small')?.turns, 'a request needs memory')
  t.equal(kept.size, 2)
  spare.giveBack(kept.bytes)
  t.equal(kept.size, 0)
  t.equal(spare.bytes, 0)
})
