import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { changeKeys, keysPath } from '../../src/keys/key-store.ts'
import { approve, CLIENTS, OPERATOR, signIn, whyNoClaude } from '../claude-gateway/claude-person.ts'
import { claudeProgram } from '../claude-gateway/claude-program.ts'
import type { ClaudeTerminal } from '../claude-gateway/claude-terminal.ts'
import { ObligingModel } from '../claude-gateway/obliging-model.ts'
import { Browser, findChromium } from '../helper/chromium.ts'
import { startGateway } from '../helper/gateway-process.ts'
import { hashOfKey, namedKey } from '../helper/named-key.ts'
import { isNightly } from '../helper/nightly.ts'
import { SetClock } from '../helper/set-clock.ts'
import { stateFolder } from '../helper/state-folder.ts'

/** The real Claude Code at a limit of the day, on the next day, and when its token has expired. */

t.setTimeout(900_000) // a client of 400 MB, on a machine that may be busy

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** A token with less left is renewed before a request is sent. */
const RENEWED_MS = 5 * 60_000
/** Enough for a start, so that the renewal comes after it. */
const START_MS = 20_000
const skip = isNightly ? whyNoClaude() : 'it is for npm run nightly'

t.test('Claude Code at a gateway where a day ends', { skip }, async (t) => {
  const program = await claudeProgram(CLIENTS)
  const midnight = new Date().setUTCHours(0, 0, 0, 0) + DAY_MS
  const clock = new SetClock(t, midnight - HOUR_MS / 2)
  const stateDir = stateFolder(t)
  const anna = namedKey({
    id: 'k_anna',
    hashes: [hashOfKey('anna')],
    credits: { limit: 2, period: 'day' }
  })
  await changeKeys(keysPath(stateDir), () => [anna], new AbortController().signal)
  const model = await ObligingModel.start(t)
  const gateway = await startGateway({
    upstreamUrl: model.origin,
    tokenLifeMs: 7 * DAY_MS,
    env: { STATE_DIR: stateDir, PROXY_API_KEY: OPERATOR, WORKERS: '2', ...clock.env }
  })
  t.teardown(() => gateway.destroy())
  const browser = await Browser.start({ executable: findChromium() ?? '' })
  t.teardown(() => browser.close())
  const { url } = gateway
  const claude = await signIn(t, {
    program,
    url,
    approve: (code) => approve(browser, { url, code, key: 'anna' })
  })

  await t.test('is refused at the limit of the day', async (t) => {
    for (const answer of [1, 2]) {
      await claude.say(`Question ${answer}`)
      await claude.sees(new RegExp(`● answer ${answer}\\b`))
    }
    await claude.say('One too many')
    await claude.sees(/The 2 credits a day for "anna" are used up · the limit resets/)
    t.equal(model.answers, 2)
  })

  await t.test('works again after the reset', async (t) => {
    clock.set(midnight + 5_000)
    await claude.say('Good morning')
    await claude.sees(/● answer 3\b/)
    await claude.say('/usage')
    await claude.sees(/CRD 1(\.00)? \/ CRD 2(\.00)? spent today/)
    await claude.leavePage(/Spend limit/)
    t.equal(model.answers, 3)
  })

  await t.test('renews its token at its start, a day after the last one', async (t) => {
    claude.stop()
    const former = expireIn(claude, -1)
    clock.set(midnight + DAY_MS + 5_000)
    claude.start()
    await claude.sees(/auto mode on/)
    await claude.say('A day later')
    await claude.sees(/● answer 4\b/)
    t.not(signInOf(claude).jwt, former)
    const headers = { authorization: `Bearer ${former}` }
    const refused = await fetch(`${url}/api/oauth/usage`, { headers })
    t.match(await refused.text(), /The access token has expired/)
  })

  await t.test('renews it in a session that goes on', async (t) => {
    claude.stop()
    const former = expireIn(claude, RENEWED_MS + START_MS)
    claude.start()
    await claude.sees(/auto mode on/)
    await delay(START_MS)
    await claude.say('Soon over')
    await claude.sees(/● answer 5\b/)
    t.not(signInOf(claude).jwt, former)
  })
})

interface SignIn {
  /** The access token. */
  readonly jwt: string
}

function credentialsFile({ home }: ClaudeTerminal): string {
  return join(home, '.claude', '.credentials.json')
}

function signInOf(claude: ClaudeTerminal): SignIn {
  return JSON.parse(readFileSync(credentialsFile(claude), 'utf8')).enterpriseGateway
}

/** Has a client that is not running take its token for one that ends so soon, as if time had passed; returns the token. */
function expireIn(claude: ClaudeTerminal, leftMs: number): string {
  const path = credentialsFile(claude)
  const stored = JSON.parse(readFileSync(path, 'utf8'))
  stored.enterpriseGateway.expiresAt = Date.now() + leftMs
  writeFileSync(path, JSON.stringify(stored))
  return stored.enterpriseGateway.jwt
}
