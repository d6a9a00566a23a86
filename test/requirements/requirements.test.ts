import t, { type Test } from 'tap'
import { isNightly } from '../helper/nightly.ts'
import { Stand } from './stand.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

/** What clients need of the gateway, seen on the wire. */
const REQUIREMENTS = {
  '01-keys-and-versions': 'keys in either header on every route, any version, beta or query',
  '02-final-errors': 'final errors say x-should-retry: false, the others retry-after',
  '03-error-shapes': 'errors in each API’s own shape, with the request’s id',
  '04-overlong-input': 'overlong input in the words that start a compaction',
  '05-system-turns': 'system turns anywhere in the messages',
  '06-tolerated-members': 'what can’t be served is accepted and ignored',
  '07-tools': 'tools of every kind, with any schema, description and name',
  '08-deferred-tools': 'deferred tools, and no stand-in for them upstream',
  '09-codex': 'the dialects of Codex: namespaces, custom tools, tool_search, additional_tools',
  '10-websocket': 'a WebSocket is served; where it is not, 426 comes at once',
  '11-item-references': 'item_reference from any worker; what is not kept is refused clearly',
  '12-threads': 'thread is refused so that its client goes on without',
  '13-forced-answers': 'forced tools and JSON by schema',
  '14-streamed-or-not': 'streamed and in one piece, on all three APIs',
  '15-messages-stream': 'the stream of Messages has every member that a client needs',
  '16-chat-stream': 'the stream of Chat Completions has every member that a client needs',
  '17-responses-stream': 'the stream of Responses has every member that a client needs',
  '18-no-silent-end': 'no stream ends silently, and none is silent for long',
  '19-counting-and-models': 'token counts at once, models in both shapes, harmless probes',
  '20-reasoning-usage-bodies':
    'reasoning out and back in, true usage, large bodies, images and PDFs'
} as const

/** Size of the largest body that is counted, in MB. */
const LARGEST_MB = isNightly ? 31 : 8

const stand = await Stand.start(t, LARGEST_MB)
let number = 0
for (const [file, what] of Object.entries(REQUIREMENTS)) {
  number++
  const { check } = (await import(`./${file}.ts`)) as {
    check: (t: Test, stand: Stand) => Promise<void>
  }
  t.test(`requirement ${number}: ${what}`, (t) => check(t, stand))
}
