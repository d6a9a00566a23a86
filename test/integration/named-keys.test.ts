import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { runCommandHere } from '../helper/command-here.ts'
import { allHeard } from '../helper/all-heard.ts'
import { startChat } from '../helper/chat-client.ts'
import { GatewayProcess, startGateway } from '../helper/gateway-process.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

t.test('a running gateway takes keys as they are made and revoked', async (t) => {
  const gateway = new GatewayProcess({
    env: { STATE_DIR: 'state', PROXY_API_KEY: 'operators-own-key' }
  })
  t.teardown(() => gateway.destroy())
  await gateway.ready()
  const key = async (...args: readonly string[]) => {
    const options = { cwd: gateway.folder, env: { STATE_DIR: 'state' } }
    const { code, stdout, stderr } = await runCommandHere(['key', ...args, '--json'], options)
    t.equal(code, 0, stderr)
    return JSON.parse(stdout)
  }
  const ask = (text: string) =>
    startChat(gateway.url, 'hi', { headers: { authorization: `Bearer ${text}` } }).answer
  /** The status once the gateway has read the file, after `change` has begun. */
  const read = (from: number) =>
    gateway.logged((line) => String(line['msg']).startsWith('named keys reloaded'), from)
  const change = async (...args: readonly string[]) => {
    const from = gateway.lines.length
    const changed = await key(...args)
    const written = Date.now()
    await read(from)
    await allHeard(gateway, 'operators-own-key')
    t.comment(`noticed after ${Date.now() - written} ms`)
    return changed
  }

  const anna = await change('add', 'anna')
  t.match(await ask(anna.key), { status: 200 })
  const next = await change('rotate', 'anna')
  t.match(await ask(anna.key), { status: 401, text: /was replaced by a newer one/ })
  t.match(await ask(next.key), { status: 200 })
  await change('revoke', 'anna')
  t.match(await ask(next.key), { status: 401, text: /was revoked/ })
  t.match(await ask('operators-own-key'), { status: 200 })

  const output = gateway.lines.map((line) => JSON.stringify(line)).join('') + gateway.stderr
  const file = readFileSync(join(gateway.folder, 'state', 'keys.json'), 'utf8')
  for (const secret of [anna.key, next.key]) t.notOk((output + file).includes(secret.slice(8)))
})

t.test('a wait for a stream of its key is told as that', async (t) => {
  const gateway = await startGateway({
    env: { STATE_DIR: 'state', PROXY_API_KEY: 'operators-own-key' }
  })
  t.teardown(() => gateway.destroy())
  const from = gateway.lines.length
  const options = { cwd: gateway.folder, env: { STATE_DIR: 'state' } }
  const made = await runCommandHere(['key', 'add', 'ci', '--max-streams', '1', '--json'], options)
  await gateway.logged((line) => String(line['msg']).startsWith('named keys reloaded'), from)
  const headers = { authorization: `Bearer ${JSON.parse(made.stdout).key}` }
  await allHeard(gateway, 'operators-own-key')
  const first = startChat(gateway.url, 'sim:events=8000 sim:gap=50', { headers })
  await first.firstBytes
  const waiting = startChat(gateway.url, 'hi', { headers })
  const operator = { headers: { authorization: 'Bearer operators-own-key' } }
  const isWaiting = async () =>
    /key_waiting\{[^}]*key="ci"[^}]*\} 1/.test(
      await (await fetch(`${gateway.url}/metrics`, operator)).text()
    )
  while (!(await isWaiting())) await delay(20)
  await delay(1_000)
  first.request.destroy()
  const second = await waiting.answer
  const line = await gateway.logged(
    ({ request_id: id, event }) =>
      event === 'request.completed' && id === second.headers['x-request-id']
  )
  const { key = 0, queue = 0 } = Object(line['phase_ms'])
  t.ok(key >= 1_000 && queue < key / 2, JSON.stringify(line['phase_ms']))
  await first.answer
})

t.test('the keys of docs/keys.md can do what the page says', async (t) => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/keys.md'), 'utf8')
  const commands = [...page.matchAll(/^npx kiro-gateway (key add .*)$/gm)].map(([, words = '']) =>
    words.replaceAll("'", '').split(/\s+/)
  )
  t.equal(commands.length, 5)
  const gateway = await startGateway({
    env: { STATE_DIR: 'state', PROXY_API_KEY: 'operators-key' }
  })
  t.teardown(() => gateway.destroy())
  const options = { cwd: gateway.folder, env: { STATE_DIR: 'state' } }
  const texts = new Map<string, string>()
  for (const command of commands) {
    const { code, stdout, stderr } = await runCommandHere([...command, '--json'], options)
    t.equal(code, 0, stderr)
    texts.set(command[2] ?? '', JSON.parse(stdout).key)
  }
  const ask = (name: string, prompt: string) =>
    startChat(gateway.url, prompt, { headers: { authorization: `Bearer ${texts.get(name)}` } })
  for (const name of texts.keys()) {
    while ((await ask(name, 'hi').answer).status === 401) await delay(50) // not read yet
  }
  // Two streams, as its --max-streams says, of a key that has been used.
  const both = [1, 2].map(() => ask('ci', 'sim:events=20 sim:gap=50'))
  await Promise.all(both.map(({ firstBytes }) => firstBytes))
  const answers = await Promise.all(both.map(({ answer }) => answer))
  t.same(
    answers.map(({ status }) => status),
    [200, 200]
  )
})

t.test('a gateway does not start with keys whose limits it cannot know', async (t) => {
  const folder = t.testdir({ 'keys.json': '{"version": 2, "keys": []}' })
  const gateway = new GatewayProcess({ env: { STATE_DIR: folder } })
  t.teardown(() => gateway.destroy())
  t.equal(await gateway.exited, 78)
  t.match(gateway.stderr + JSON.stringify(gateway.lines), /is of a newer version/)
})
