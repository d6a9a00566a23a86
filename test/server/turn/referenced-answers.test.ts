import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { Config } from '../../../src/config/settings.ts'
import type { Admit, ItemStore } from '../../../src/server/items/item-store.ts'
import type { BodyRoom } from '../../../src/server/body/request-body.ts'
import { referencedAnswers } from '../../../src/server/turn/body.ts'
import { CountingUpstream } from '../../helper/counting-upstream.ts'
import { FakePrimary } from '../../helper/fake-primary.ts'
import { endFrame, textFrame } from '../../helper/upstream-frames.ts'

/** A gateway with these keys; its answers outlive it where the next one has the same state. */
async function setUp(t: Test, keys: string, stateDir: string) {
  const upstream = await CountingUpstream.start(t, (request, response) => {
    request.resume()
    response.write(textFrame('the word is heliotrope'))
    response.end(endFrame)
  })
  const env = { PROXY_API_KEY: keys, STATE_DIR: stateDir }
  const primary = await FakePrimary.start(t, upstream.url, { env })
  return async (path: string, input: unknown, key: string | null) => {
    const response = await fetch(`${primary.url}${path}`, {
      method: 'POST',
      headers: key === null ? {} : { authorization: `Bearer ${key}` },
      body: JSON.stringify({ model: 'claude-haiku-4.5', input })
    })
    return { status: response.status, text: await response.text() }
  }
}

function refer(id: string) {
  return [
    { type: 'item_reference', id },
    { role: 'user', content: 'say it again' }
  ]
}

function itemOf(text: string): string {
  return /"id":"(msg_[0-9a-f]{32})"/.exec(text)?.[1] ?? ''
}

const UNKNOWN = `msg_${'0'.repeat(32)}`

t.test('an answer can be referred to with the key alone that asked for it', async (t) => {
  const stateDir = mkdtempSync(join(tmpdir(), 'gateway-state-'))
  t.teardown(() => rmSync(stateDir, { recursive: true }))
  const post = await setUp(t, 'the-first-key-of-all,the-second-key-of-all', stateDir)
  const id = itemOf((await post('/v1/responses', 'the word?', 'the-first-key-of-all')).text)
  t.equal(readdirSync(join(stateDir, 'responses')).length, 2)
  for (const path of ['/v1/responses', '/v1/responses/input_tokens']) {
    t.equal((await post(path, refer(id), 'the-first-key-of-all')).status, 200, path)
    const foreign = await post(path, refer(id), 'the-second-key-of-all')
    const unknown = await post(path, refer(UNKNOWN), 'the-second-key-of-all')
    t.equal(foreign.status, 400)
    t.equal(foreign.text.replace(id, UNKNOWN), unknown.text, 'as one that has never been')
  }
  const lint = await post('/v1/lint', refer(id), 'the-second-key-of-all')
  t.notMatch(lint.text, 'heliotrope')
  t.equal(
    lint.text.replace(id, UNKNOWN),
    (await post('/v1/lint', refer(UNKNOWN), 'the-second-key-of-all')).text
  )

  t.test('wherever that key stands in PROXY_API_KEY', async (t) => {
    const later = await setUp(t, 'a-new-key-in-front-of,the-first-key-of-all', stateDir)
    t.equal((await later('/v1/responses', refer(id), 'the-first-key-of-all')).status, 200)
    t.equal((await later('/v1/responses', refer(id), 'a-new-key-in-front-of')).status, 400)
  })

  t.test('and not without any where none is needed', async (t) => {
    const open = await setUp(t, '', stateDir)
    t.equal((await open('/v1/responses', refer(id), null)).status, 400)
    const own = itemOf((await open('/v1/responses', 'the word?', null)).text)
    t.equal((await open('/v1/responses', refer(own), null)).status, 200)
    const closed = await setUp(t, 'the-first-key-of-all', stateDir)
    t.equal((await closed('/v1/responses', refer(own), 'the-first-key-of-all')).status, 400)
  })
})

t.test('answers that a request refers to', async (t) => {
  const sizes: number[] = []
  const memory = {
    largestBytes: 5000,
    extend: async (bytes: number) => void sizes.push(bytes)
  } as unknown as BodyRoom
  const settings = { server: { maxBodyBytes: 4000 } } as Config
  const readOf = (bytes: number) => {
    const items = {
      find: async (_owner: string, _ids: readonly string[], admit: Admit) => {
        await admit(bytes)
        return [Buffer.alloc(bytes)]
      }
    } as unknown as ItemStore
    const body = Buffer.from(JSON.stringify({ input: refer(UNKNOWN) }))
    const read = { dialect: 'openai-responses', body, key: 'one', memory } as const
    return { body, answers: referencedAnswers({ items, current: { config: settings } }, read) }
  }

  t.test('wait for memory before they are read, as a body of that size does', async (t) => {
    const { body, answers } = readOf(1000)
    t.equal((await answers).length, 1)
    t.same(sizes, [body.byteLength + 1000])
  })

  t.test('and a conversation of the connection is copied only then', async (t) => {
    const steps: string[] = []
    const room = {
      ...memory,
      extend: async (bytes: number) => {
        await delay(5)
        steps.push(`room for ${bytes}`)
      }
    }
    const body = Buffer.from('{"input":"hi"}')
    const copies = [Buffer.from('{}'), null]
    for (const copy of copies) {
      const earlier = {
        bytes: 100,
        copy: () => {
          steps.push('copied')
          return copy
        }
      }
      const read = { dialect: 'openai-responses', body, key: 'one', memory: room, earlier } as const
      const items = {} as unknown as ItemStore
      const answers = await referencedAnswers({ items, current: { config: settings } }, read)
      t.same(answers, copy === null ? [] : [copy], 'what was dropped meanwhile is not found')
    }
    t.same(steps, ['room for 114', 'copied', 'room for 114', 'copied'])
  })

  t.test('are refused where they are too large together', async (t) => {
    await t.rejects(readOf(3990).answers, { code: 'GW_BODY_TOO_LARGE', message: /MAX_BODY_BYTES/ })
    t.equal(sizes.length, 1)
  })
})
