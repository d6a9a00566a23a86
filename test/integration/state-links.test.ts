import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { changeKeys, keysPath, makeKey, makeKeyId } from '../../src/keys/key-store.ts'
import { Simulator } from '../strict-simulator/simulator.ts'
import { startChat } from '../helper/chat-client.ts'
import { startGateway } from '../helper/gateway-process.ts'
import { namedKey } from '../helper/named-key.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

/** Folders and files of STATE_DIR that the gateway of this test would write into. */
const FOLDERS = ['responses', 'credentials']
const FILES = ['usage.db', 'alerts.json']

t.test('a link inside STATE_DIR is not written through', async (t) => {
  const simulator = new Simulator()
  const { url } = await simulator.start()
  t.teardown(() => simulator.close())
  const root = t.testdir({ state: {}, elsewhere: {}, debug: {} })
  const [state, elsewhere, debug] = [
    join(root, 'state'),
    join(root, 'elsewhere'),
    join(root, 'debug')
  ]
  for (const name of [...FOLDERS, 'captures']) {
    mkdirSync(join(elsewhere, name))
    chmodSync(join(elsewhere, name), 0o755)
    symlinkSync(join(elsewhere, name), join(name === 'captures' ? debug : state, name))
  }
  for (const name of FILES) {
    writeFileSync(join(elsewhere, name), '')
    symlinkSync(join(elsewhere, name), join(state, name))
  }
  // As old as what a sweep deletes, and named alike.
  const old = join(elsewhere, 'responses', 'a'.repeat(28))
  writeFileSync(old, 'mine')
  const [anna, ben] = [makeKey(), makeKey()]
  const keys = [
    namedKey({ name: 'anna', hashes: [{ sha256: anna.sha256, until: null }] }),
    namedKey({
      id: makeKeyId(),
      name: 'ben',
      hashes: [{ sha256: ben.sha256, until: null }],
      credits: { limit: 1000, period: 'day' }
    })
  ]
  await changeKeys(keysPath(state), () => keys, new AbortController().signal)

  const gateway = await startGateway({
    upstreamUrl: url,
    tokenLifeMs: 2_000, // is renewed at once, into the folder of credentials
    env: {
      KIRO_AUTH_URL: url,
      STATE_DIR: state,
      WORKERS: '1',
      DEBUG_DIR: debug,
      DEBUG_MODE: 'all',
      DEBUG_CONTENT: 'true',
      RESPONSE_STORE_MAX_AGE: '3600'
    }
  })
  t.teardown(() => gateway.destroy())
  const headers = { 'x-api-key': anna.text }
  t.equal((await startChat(gateway.url, 'hello', { headers }).answer).status, 200)
  const limited = { headers: { 'x-api-key': ben.text } }
  t.equal((await startChat(gateway.url, 'hello', limited).answer).status, 503, 'a limit is closed')
  const stored = await fetch(`${gateway.url}/v1/responses`, {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'auto', input: 'hello', store: true })
  })
  t.equal(stored.status, 200)
  await stored.text()
  t.equal(await gateway.stop(), 0)

  for (const name of [...FOLDERS, 'captures']) {
    const folder = join(elsewhere, name)
    t.same(readdirSync(folder), name === 'responses' ? ['a'.repeat(28)] : [], name)
    t.equal(statSync(folder).mode & 0o777, 0o755, `${name}, as open as it was`)
  }
  t.equal(readFileSync(old, 'utf8'), 'mine')
  for (const name of FILES) t.equal(readFileSync(join(elsewhere, name), 'utf8'), '', name)
  const linesOf = (msg: string) =>
    gateway.lines.filter((line) => String(line['msg']).startsWith(msg))
  const [told] = linesOf('symbolic links are not followed')
  t.same(told?.['links'], [...FOLDERS, ...FILES].toSorted())
  for (const msg of ['usage cannot be recorded', 'captures cannot be written; check DEBUG_DIR']) {
    t.match(JSON.stringify(linesOf(msg)), /is a (?:symbolic )?link/, msg)
  }
})
