import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { DebugCapture } from '../../../src/observe/debug-capture.ts'
import { Progress } from '../../../src/server/worker/open-turns.ts'
import { TurnDebug } from '../../../src/server/turn/turn-debug.ts'
import { type ErrorCode, GatewayError } from '../../../src/shared/errors.ts'
import { RequestPayload } from '../../../src/upstream/call/requests.ts'

/** The debug files that a request leaves which ends so. */
async function filesOf(t: Test, mode: 'errors' | 'all', code: ErrorCode | null) {
  const folder = t.testdir({})
  const log = { warn: (facts: object) => t.fail('no file', facts) }
  const capture = new DebugCapture({ folder, maxFiles: 9, log })
  const transforms = { inlineMaxBytes: 1024, outline: async () => '' }
  const plane = { debug: capture, transforms }
  const debug = new TurnDebug(plane, mode)
  const error = code === null ? null : new GatewayError(code)
  const memory = { growTo: () => {}, shrinkTo: () => {}, shrinkToKept: () => {} }
  const payload = Buffer.from('{"conversationState":{"chatTriggerType":"MANUAL"}}')
  debug.noteRequest(new RequestPayload({ bytes: payload, memory }))
  if (error !== null) debug.noteFailure(error)
  const status = error?.status ?? 200
  const progress = new Progress()
  await debug.keep({
    requestId: 'r1',
    route: '/v1/messages',
    status,
    plan: null,
    error,
    progress
  })
  await capture.keep('last', {}) // written behind all others
  return readdirSync(folder)
    .filter((name) => !name.includes('last'))
    .map((name): unknown => JSON.parse(readFileSync(join(folder, name), 'utf8')))
}

t.test('DEBUG_MODE=errors keeps what the upstream, the gateway or a refusal ended', async (t) => {
  for (const code of [
    'GW_UPSTREAM_RESET',
    'GW_INTERNAL',
    'GW_BODY_INVALID',
    'GW_POOL_TIMEOUT'
  ] as const) {
    const files = await filesOf(t, 'errors', code)
    t.match(files, [{ code, request: { conversationState: { chatTriggerType: 'MANUAL' } } }])
  }
})

t.test('DEBUG_MODE=errors keeps nothing of clients that left, nor of answers', async (t) => {
  for (const code of ['GW_CLIENT_CLOSED', 'GW_CLIENT_STALLED', null] as const) {
    t.same(await filesOf(t, 'errors', code), [], String(code))
  }
})

t.test('DEBUG_MODE=all keeps them, too', async (t) => {
  for (const code of ['GW_CLIENT_CLOSED', 'GW_CLIENT_STALLED'] as const) {
    t.match(await filesOf(t, 'all', code), [{ code, status: 499, request: {} }])
  }
  t.match(await filesOf(t, 'all', null), [
    { status: 200, request: { conversationState: { chatTriggerType: 'MANUAL' } } }
  ])
})
