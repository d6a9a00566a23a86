import t from 'tap'
import { countEntries, countRequest } from '../../../src/kiro/tokens/request-tokens.ts'
import type { HistoryEntry, UserInputMessage } from '../../../src/kiro/wire/payload.ts'

/** Entries of a history that were counted before are counted on from, and come to what a count of the whole comes to. */

const MODEL = 'claude-sonnet-4.6'
const IMAGE = Buffer.from('no real picture '.repeat(300)).toString('base64')

function user(content: string, images: readonly string[] = []): UserInputMessage {
  return {
    content,
    modelId: MODEL,
    origin: 'AI_EDITOR',
    ...(images.length > 0 && {
      images: images.map((bytes) => ({ format: 'png' as const, source: { bytes } }))
    })
  }
}

function asked(history: readonly HistoryEntry[], current: UserInputMessage) {
  const payload = {
    conversationState: {
      conversationId: 'c',
      chatTriggerType: 'MANUAL' as const,
      history,
      currentMessage: { userInputMessage: current }
    }
  }
  return { payload, bytes: Buffer.from(JSON.stringify(payload)) }
}

/** Place of the first entries in the bytes. */
function placeOf(bytes: Buffer, entries: readonly HistoryEntry[], attachments: number) {
  const from = bytes.indexOf('"history":[') + '"history":['.length
  return { from, to: from + Buffer.byteLength(JSON.stringify(entries)) - 2, attachments }
}

const words = { assistantResponseMessage: { content: 'Grüße, 12 foxes.\n  '.repeat(6_000) } }
const begin: readonly HistoryEntry[] = [
  { userInputMessage: user('Look. '.repeat(900), [IMAGE]) },
  words
]

const cases: Readonly<Record<string, readonly HistoryEntry[]>> = {
  'words alone': [{ userInputMessage: user('And now? '.repeat(50)) }, words],
  'another image': [{ userInputMessage: user('And this?', [IMAGE.slice(40)]) }, words],
  'the same image': [{ userInputMessage: user('And this?', [IMAGE]) }, words]
}

for (const [what, news] of Object.entries(cases)) {
  t.test(`entries followed by ${what}`, async (t) => {
    const first = asked(begin, user('Go on.'))
    const settling = placeOf(first.bytes, begin, 1)
    const counted = countRequest(first.payload, first.bytes, { settling }).settling
    t.ok(counted)
    const next = asked([...begin, ...news], user('Go on.'))
    const behind = asked(news, user('Go on.'))
    const before = countEntries(begin, MODEL)
    const known = countRequest(behind.payload, next.bytes, { before, counted })
    t.same(known.tokens, countRequest(next.payload, next.bytes).tokens)
  })
}

t.test(
  'an image that seems to stand in counted entries has all of them counted again',
  async (t) => {
    const quoting = { assistantResponseMessage: { content: `It is "${IMAGE.slice(0, 80)}".` } }
    const entries = [...begin, quoting]
    const first = asked(entries, user('Go on.'))
    const settling = placeOf(first.bytes, entries, 1)
    const counted = countRequest(first.payload, first.bytes, { settling }).settling
    t.ok(counted)
    const news = [{ userInputMessage: user('And this?', [IMAGE]) }, words]
    const next = asked([...entries, ...news], user('Go on.'))
    const before = countEntries(entries, MODEL)
    const behind = asked(news, user('Go on.'))
    const known = countRequest(behind.payload, next.bytes, { before, counted })
    t.same(known.tokens, countRequest(next.payload, next.bytes).tokens)
  }
)
