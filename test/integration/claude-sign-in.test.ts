import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { changeKeys, keysPath } from '../../src/keys/key-store.ts'
import type { CreditLimit, NamedKey } from '../../src/keys/key.ts'
import { approve, CLIENTS, OPERATOR, signIn, whyNoClaude } from '../claude-gateway/claude-person.ts'
import { claudeProgram } from '../claude-gateway/claude-program.ts'
import type { ClaudeTerminal } from '../claude-gateway/claude-terminal.ts'
import { ObligingModel } from '../claude-gateway/obliging-model.ts'
import { Browser, findChromium } from '../helper/chromium.ts'
import { runKiroGateway } from '../helper/cli-process.ts'
import { farFromMidnight } from '../helper/far-from-midnight.ts'
import { freePort } from '../helper/free-port.ts'
import { type GatewayProcess, startGateway } from '../helper/gateway-process.ts'
import { hashOfKey, namedKey } from '../helper/named-key.ts'
import { isNightly } from '../helper/nightly.ts'
import { stateFolder } from '../helper/state-folder.ts'

/** The real Claude Code in an empty home, which is told an address and nothing else. */

t.setTimeout(1_800_000) // a client of 400 MB, on a machine that may be busy, and perhaps until midnight

/** The figures are those of one day; a busy machine needs minutes for them. */
const NEEDED_MS = 600_000
const skip = isNightly ? whyNoClaude() : 'it is for npm run nightly'

interface Rig {
  readonly url: string
  readonly browser: Browser
  readonly model: ObligingModel
  readonly program: string
  /** Changes a key as an operator does; resolves when it is in force. */
  readonly key: (...args: readonly string[]) => Promise<void>
  /** Ends the gateway and starts another at its address. */
  readonly restart: () => Promise<void>
}

async function setUp(t: Test, limits: Readonly<Record<string, CreditLimit>>): Promise<Rig> {
  await farFromMidnight(NEEDED_MS)
  const program = await claudeProgram(CLIENTS)
  const stateDir = stateFolder(t)
  const keys = Object.entries(limits).map(
    ([name, credits]): NamedKey =>
      namedKey({ id: `k_${name}`, name, credits, hashes: [hashOfKey(name)] })
  )
  await changeKeys(keysPath(stateDir), () => keys, new AbortController().signal)
  const managed = join(stateDir, 'managed.json')
  writeFileSync(managed, '{"model":"claude-sonnet-4-6"}')
  const model = await ObligingModel.start(t)
  const start = (port: number): Promise<GatewayProcess> =>
    startGateway({
      upstreamUrl: model.origin,
      env: {
        STATE_DIR: stateDir,
        PROXY_API_KEY: OPERATOR,
        WORKERS: '2',
        SERVER_PORT: String(port),
        MANAGED_SETTINGS_FILE: managed
      }
    })
  const port = await freePort()
  let gateway = await start(port)
  t.teardown(() => gateway.destroy())
  const browser = await Browser.start({ executable: findChromium() ?? '' })
  t.teardown(() => browser.close())
  return {
    url: gateway.url,
    browser,
    model,
    program,
    key: async (...args) => {
      const from = gateway.lines.length
      const env = { STATE_DIR: stateDir }
      const { code, stderr } = await runKiroGateway(['key', ...args], { cwd: gateway.folder, env })
      if (code !== 0) throw new Error(stderr)
      await gateway.logged((line) => line['msg'] === 'named keys reloaded', from)
    },
    restart: async () => {
      await gateway.stop()
      gateway = await start(port)
    }
  }
}

/** A person whose sign-in the operator approves for the key of that name. */
function signInFor(t: Test, { program, url, browser }: Rig, key: string): Promise<ClaudeTerminal> {
  return signIn(t, { program, url, approve: (code) => approve(browser, { url, code, key }) })
}

t.test('Claude Code in an empty home, told an address', { skip }, async (t) => {
  const rig = await setUp(t, {
    anna: { limit: 6, period: 'day' },
    ben: { limit: 1_000, period: 'month' }
  })
  const { key, model } = rig
  const anna = await signInFor(t, rig, 'anna')

  await t.test('answers, with the model that the operator has set for everyone', async (t) => {
    await anna.say('Say hello')
    await anna.sees(/● answer 1\b/)
    t.match(anna.screen, /Sonnet 4\.6[^\n]* Cloud gateway/)
  })

  await t.test('has actions checked in auto mode, without asking a person', async (t) => {
    // Outside the project, so that its own rules do not suffice.
    const path = join(anna.home, 'made.txt')
    await anna.say(`Please RUN<sh -c 'touch ${path}'> now`)
    // Said once: the check is billed here, as the upstream has none of its own.
    await anna.goOn(/changing auto mode[^]*Enter to continue/)
    await anna.sees(/● answer 3\b/)
    t.ok(existsSync(path), 'the action was done')
    t.equal(model.verdicts, 1, 'the model was asked whether it may be')
    t.notMatch(anna.screen, /of your usage credits/)
  })

  await t.test('tells how much of the limit is used, once it is above 75 %', async (t) => {
    await anna.say('Once more')
    await anna.sees(/You've used 83% of your usage credits · resets 12am \(UTC\)/)
    await anna.say('/usage')
    await anna.sees(/CRD 5(\.00)? \/ CRD 6(\.00)? spent today · Resets/)
    await anna.leavePage(/Spend limit/)
    t.pass('the notice, and amounts in credits')
  })

  await t.test('prints our sentence at the limit, and goes on when it is raised', async (t) => {
    await anna.say('The last one')
    await anna.sees(/● answer 5\b/)
    await anna.say('And again')
    await anna.sees(/The 6 credits a day for "anna" are used up · the limit resets/)
    t.notMatch(anna.screen, /API Error/)
    await key('set', 'anna', '--credits', '100/day')
    await anna.say('With a higher limit')
    await anna.sees(/● answer 6\b/)
  })

  await t.test('serves another person beside, with a limit of their own', async (t) => {
    const ben = await signInFor(t, rig, 'ben')
    await Promise.all([ben.say('I am ben'), anna.say('I am anna')])
    await Promise.all([ben.sees(/● answer [78]\b/), anna.sees(/● answer [78]\b/)])
    await ben.say('/usage')
    await ben.sees(/CRD 1(\.00)? \/ CRD 1,000(\.00)? spent this month/)
    t.pass('two people with two limits')
    ben.stop()
  })

  await t.test('goes on after the gateway was started again', async (t) => {
    await rig.restart()
    await anna.say('After the restart')
    await anna.sees(/● answer 9\b/)
    t.pass('the sign-in has survived')
  })

  await t.test('is signed out when the key is revoked', async (t) => {
    await key('revoke', 'anna')
    await anna.say('Am I still here?')
    await anna.sees(/\/login/)
    t.equal(model.answers, 9)
  })
})
