import t from 'tap'
import { AccessCheck } from '../../src/devices/access-check.ts'
import {
  askStep,
  type AskOutcome,
  decideStep,
  type DeviceState,
  endStep,
  findWaiting,
  type KeyStanding,
  newDeviceState,
  pollStep,
  type PollOutcome,
  refreshStep,
  type RefreshOutcome
} from '../../src/devices/device-core.ts'
import { DEVICE_LIMITS } from '../../src/devices/device-limits.ts'
import { readDeviceRecord, writeDeviceRecord } from '../../src/devices/device-record.ts'
import {
  makeAccessToken,
  makeDeviceCode,
  makeDeviceId,
  makeDeviceSecret,
  makeRefreshToken,
  readAccessToken,
  readDeviceCode,
  readRefreshToken
} from '../../src/devices/device-secrets.ts'
import { makeUserCode, readUserCode, showUserCode } from '../../src/devices/user-code.ts'

const START = Date.UTC(2026, 11, 1, 5)
const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS

function tokensOf(outcome: PollOutcome | RefreshOutcome) {
  if (outcome.name !== 'tokens') throw new Error(`no tokens: ${outcome.name}`)
  return outcome
}

/** A gateway's sign-ins with a clock that a test sets. */
class Desk {
  state: DeviceState = newDeviceState(makeDeviceSecret())
  now = START
  standing: KeyStanding = 'good'

  ask(userCode = makeUserCode(), more: { address?: string; clientId?: string } = {}) {
    const deviceCode = makeDeviceCode(this.state.secret, this.now + DEVICE_LIMITS.codeMs)
    const { address = '192.0.2.1', clientId = null } = more
    const facts = { client: 'claude_code', host: 'lab-7', address, clientId }
    const { state, outcome } = askStep(this.state, { deviceCode, userCode, ...facts }, this.now)
    this.state = state
    return { deviceCode, userCode, outcome }
  }

  approve(code: string, key = 'k_anna', mark = makeDeviceId()) {
    const decision = { name: 'approved', key, by: 'operator', proof: '', mark } as const
    const { state, outcome } = decideStep(this.state, code, decision, this.now)
    this.state = state
    return outcome
  }

  deny(code: string) {
    const { state, outcome } = decideStep(this.state, code, { name: 'denied' }, this.now)
    this.state = state
    return outcome
  }

  poll(deviceCode: string, clientId: string | null = null, deviceId = makeDeviceId()): PollOutcome {
    const refreshToken = makeRefreshToken(this.state.secret, deviceId)
    const poll = { deviceCode, clientId, deviceId, refreshToken }
    const { state, outcome } = pollStep(this.state, poll, () => this.standing, this.now)
    this.state = state
    return outcome
  }

  refresh(token: string, clientId: string | null = null): RefreshOutcome {
    const id = readRefreshToken(this.state.secret, token) ?? makeDeviceId()
    const request = { token, clientId, nextToken: makeRefreshToken(this.state.secret, id) }
    const { state, outcome } = refreshStep(this.state, request, () => this.standing, this.now)
    this.state = state
    return outcome
  }

  signIn(key = 'k_anna') {
    const { deviceCode, userCode } = this.ask()
    this.approve(userCode, key)
    return tokensOf(this.poll(deviceCode))
  }

  /** Verdict of a worker that knows what the primary knows. */
  verdict(accessToken: string): string {
    const { secret, ended, refusedUntil } = this.state
    const news = { secret, ended: [...ended.keys()], refusedUntil }
    return new AccessCheck(news, () => this.now).check(accessToken).name
  }

  restart(): void {
    const reading = readDeviceRecord(writeDeviceRecord(this.state))
    if (reading.name !== 'state') throw new Error(reading.name)
    this.state = reading.state
  }
}

t.test('a device signs in, and its tokens name the key', async (t) => {
  const desk = new Desk()
  const { deviceCode, userCode, outcome } = desk.ask()
  t.same(outcome, { name: 'asked', expiresAt: START + DEVICE_LIMITS.codeMs })
  t.equal(desk.poll(deviceCode).name, 'pending')
  desk.restart()
  t.equal(desk.approve(userCode).name, 'done')
  desk.restart()
  const tokens = tokensOf(desk.poll(deviceCode))
  t.match(tokens, { name: 'tokens', expiresInMs: HOUR_MS, device: { key: 'k_anna' } })
  t.match(readAccessToken(desk.state.secret, tokens.accessToken), {
    key: 'k_anna',
    device: tokens.device.id,
    expiresAt: START + HOUR_MS
  })
  t.equal(desk.verdict(tokens.accessToken), 'good')
  t.equal(desk.poll(deviceCode).name, 'invalid', 'a device code is good once')
  desk.now += HOUR_MS
  t.equal(desk.verdict(tokens.accessToken), 'expired')
  const text = writeDeviceRecord(desk.state)
  for (const secret of [deviceCode, tokens.accessToken, tokens.refreshToken])
    t.notOk(text.includes(secret), 'kept as a hash only')
})

t.test('a decision stands: approved twice, denied after it, approved after it', async (t) => {
  const desk = new Desk()
  const { userCode, deviceCode } = desk.ask()
  t.equal(desk.approve(userCode, 'k_anna', 'mark-of-anna').name, 'done')
  t.equal(desk.approve(userCode, 'k_anna', 'mark-of-anna').name, 'done', 'applied again')
  t.match(desk.approve(userCode, 'k_bert'), { name: 'decided', decision: { key: 'k_anna' } })
  t.match(desk.deny(userCode), { name: 'decided', decision: { name: 'approved' } })
  t.match(desk.poll(deviceCode), { name: 'tokens', device: { key: 'k_anna' } })
  const other = desk.ask()
  t.equal(desk.deny(other.userCode).name, 'done')
  t.match(desk.approve(other.userCode), { name: 'decided', decision: { name: 'denied' } })
  t.equal(desk.poll(other.deviceCode).name, 'denied')
  t.equal(desk.approve('BBBBBBBB').name, 'unknown')
})

t.test('codes end after ten minutes, and foreign ones are none', async (t) => {
  const desk = new Desk()
  const { deviceCode, userCode } = desk.ask()
  desk.now += DEVICE_LIMITS.codeMs - 1
  t.not(findWaiting(desk.state, userCode, desk.now), null)
  desk.now += 1
  t.equal(findWaiting(desk.state, userCode, desk.now), null)
  t.equal(desk.approve(userCode).name, 'unknown')
  t.equal(desk.poll(deviceCode).name, 'expired')
  const foreign = makeDeviceCode(makeDeviceSecret(), desk.now + MINUTE_MS)
  t.equal(desk.poll(foreign).name, 'invalid')
  const last = deviceCode.endsWith('A') ? 'B' : 'A'
  t.equal(readDeviceCode(desk.state.secret, deviceCode.slice(0, -1) + last), null)
  t.equal(readDeviceCode(desk.state.secret, `${deviceCode}${'x'.repeat(1_000_000)}`), null)
})

t.test('a refresh token is good once; a copy of it ends the whole sign-in', async (t) => {
  const desk = new Desk()
  const first = desk.signIn()
  const bystander = desk.signIn()
  const second = tokensOf(desk.refresh(first.refreshToken))
  const third = tokensOf(desk.refresh(second.refreshToken))
  t.match(desk.refresh(first.refreshToken), { name: 'invalid', why: 'reused' })
  t.match(desk.refresh(third.refreshToken), { name: 'invalid', why: 'unknown' })
  desk.restart()
  for (const { accessToken } of [first, second, third]) t.equal(desk.verdict(accessToken), 'ended')
  t.equal(desk.verdict(bystander.accessToken), 'good')
  t.equal(desk.refresh(bystander.refreshToken).name, 'tokens')
})

t.test('nobody ends a sign-in whose id they know', async (t) => {
  const desk = new Desk()
  const { device, refreshToken, accessToken } = desk.signIn()
  const made = makeRefreshToken(makeDeviceSecret(), device.id)
  t.match(desk.refresh(made), { name: 'invalid', why: 'unknown' })
  t.match(desk.refresh(refreshToken.slice(0, -1)), { name: 'invalid', why: 'unknown' })
  t.equal(desk.verdict(accessToken), 'good')
})

t.test('a step that is applied again, as nobody knows whether it was kept', async (t) => {
  const desk = new Desk()
  const { deviceCode, userCode } = desk.ask()
  desk.approve(userCode)
  const deviceId = makeDeviceId()
  const refreshToken = makeRefreshToken(desk.state.secret, deviceId)
  const poll = { deviceCode, clientId: null, deviceId, refreshToken }
  const once = pollStep(desk.state, poll, () => 'good', START)
  const again = pollStep(once.state, poll, () => 'good', START)
  t.same(again.outcome, once.outcome)
  t.equal(again.state, once.state)
  const request = {
    token: refreshToken,
    clientId: null,
    nextToken: makeRefreshToken(desk.state.secret, deviceId)
  }
  const renewed = refreshStep(once.state, request, () => 'good', START)
  const same = refreshStep(renewed.state, request, () => 'good', START)
  t.same(same.outcome, renewed.outcome)
  t.equal(same.state, renewed.state)
})

t.test('codes and tokens are good for the client that named itself', async (t) => {
  const desk = new Desk()
  const { deviceCode, userCode } = desk.ask(makeUserCode(), { clientId: 'one' })
  desk.approve(userCode)
  t.equal(desk.poll(deviceCode, 'other').name, 'invalid')
  const tokens = tokensOf(desk.poll(deviceCode, 'one'))
  t.match(desk.refresh(tokens.refreshToken, 'other'), { name: 'invalid', why: 'client' })
  t.equal(desk.refresh(tokens.refreshToken, 'one').name, 'tokens', 'and it was not used up')
})

t.test('a key that may not be used', async (t) => {
  const desk = new Desk()
  const { deviceCode, userCode } = desk.ask()
  desk.approve(userCode)
  desk.standing = 'unknown'
  t.equal(desk.poll(deviceCode).name, 'pending', 'another gateway has just made it')
  desk.standing = 'refused'
  t.equal(desk.poll(deviceCode).name, 'denied')
  desk.standing = 'good'
  const { refreshToken } = desk.signIn()
  desk.standing = 'refused'
  t.match(desk.refresh(refreshToken), { name: 'invalid', why: 'key' })
  desk.standing = 'good'
  t.equal(desk.refresh(refreshToken).name, 'tokens', 'it was extended, and the token not used up')
})

t.test('a full house refuses the new one, never pushes out another', async (t) => {
  const desk = new Desk()
  const { pending, pendingPerNetwork } = DEVICE_LIMITS
  const own = Array.from({ length: pendingPerNetwork }, () => desk.ask())
  desk.now += MINUTE_MS
  const full: AskOutcome = { name: 'full', isOwn: true, waitMs: DEVICE_LIMITS.codeMs - MINUTE_MS }
  t.same(desk.ask().outcome, full)
  t.same(desk.ask(makeUserCode(), { address: '::ffff:192.0.2.1' }).outcome, full, 'mapped to IPv6')
  for (let at = 0; at < pendingPerNetwork; at += 1)
    desk.ask(makeUserCode(), { address: `2001:db8::${at}` })
  t.match(desk.ask(makeUserCode(), { address: '2001:db8:0:0:9::' }).outcome, { isOwn: true })
  for (let at = 0; desk.state.waiting.size < pending; at += 1)
    desk.ask(makeUserCode(), { address: `10.0.${at >> 8}.${at & 255}` })
  t.match(desk.ask(makeUserCode(), { address: '198.51.100.1' }).outcome, {
    name: 'full',
    isOwn: false
  })
  for (const { deviceCode } of own) t.equal(desk.poll(deviceCode).name, 'pending')
  t.equal(desk.ask(own[0]?.userCode, { address: '198.51.100.1' }).outcome.name, 'full')
  desk.restart()
  t.equal(desk.state.waiting.size, pending)
})

t.test('no two codes are alike', async (t) => {
  const desk = new Desk()
  const { userCode } = desk.ask()
  t.same(desk.ask(userCode).outcome, { name: 'taken' })
})

t.test('sign-ins are bounded: the one unused for longest ends', async (t) => {
  const desk = new Desk()
  const { devicesPerKey, devices } = DEVICE_LIMITS
  const first = desk.signIn()
  const second = desk.signIn()
  desk.now += MINUTE_MS
  const renewed = tokensOf(desk.refresh(first.refreshToken))
  while (desk.state.devices.size < devicesPerKey) desk.signIn()
  t.equal(desk.verdict(second.accessToken), 'good')
  desk.signIn()
  t.equal(desk.verdict(second.accessToken), 'ended')
  t.equal(desk.verdict(renewed.accessToken), 'good')
  for (let key = 0; desk.state.devices.size < devices; key += 1) desk.signIn(`k_${key}`)
  desk.signIn('k_new')
  t.equal(desk.state.devices.size, devices)
  t.equal(desk.verdict(renewed.accessToken), 'ended')
  desk.now += DEVICE_LIMITS.unusedMs
  t.match(desk.refresh(renewed.refreshToken), { why: 'unknown' })
  t.equal(desk.state.devices.size, 0, 'unused for ninety days')
})

t.test(
  'more ends than are remembered refuse tokens of others rather than accept one',
  async (t) => {
    const desk = new Desk()
    const ended = Array.from({ length: DEVICE_LIMITS.ended + 1 }, (_, at) => {
      const tokens = desk.signIn(`k_${at}`)
      desk.state = endStep(desk.state, [tokens.device.id], desk.now).state
      return tokens.accessToken
    })
    t.equal(desk.state.ended.size, DEVICE_LIMITS.ended)
    for (const token of ended) t.not(desk.verdict(token), 'good')
    desk.now += 1_000
    t.equal(desk.verdict(desk.signIn().accessToken), 'good', 'as new tokens are')
    desk.now += 2 * HOUR_MS
    desk.ask()
    t.equal(desk.state.ended.size, 0, 'forgotten when their tokens have expired')
  }
)

t.test('clocks that jump', async (t) => {
  const desk = new Desk()
  const { deviceCode, userCode } = desk.ask()
  const { accessToken, refreshToken } = desk.signIn()
  desk.now -= 24 * HOUR_MS
  t.equal(desk.verdict(accessToken), 'expired', 'a token does not live a day longer')
  t.equal(findWaiting(desk.state, userCode, desk.now), null, 'nor does a code')
  t.equal(desk.poll(deviceCode).name, 'invalid')
  t.equal(desk.refresh(refreshToken).name, 'tokens', 'the sign-in goes on')
  desk.now += 48 * HOUR_MS
  const next = desk.signIn()
  t.equal(desk.verdict(next.accessToken), 'good')
  desk.now -= 4 * MINUTE_MS
  t.equal(desk.verdict(next.accessToken), 'good', 'gateways of a fleet differ by minutes')
  desk.state = { ...desk.state, refusedUntil: desk.now + 1_000 * HOUR_MS }
  desk.now += 1_000
  desk.ask()
  desk.now += 1_000
  t.equal(desk.verdict(desk.signIn().accessToken), 'good', 'a mark of a wrong clock goes')
})

t.test('user codes as people type them', async (t) => {
  for (const typed of ['BCDF-GHJK', 'bcdfghjk', ' b c d f–g h j k ', 'bcdf--ghjk'])
    t.equal(readUserCode(typed), 'BCDFGHJK', typed)
  for (const typed of ['', 'BCDF-GHJ', 'BCDF-GHJKL', 'ACDF-GHJK', '1'.repeat(8), '-'.repeat(1e6)])
    t.equal(readUserCode(typed), null, typed.slice(0, 20))
  t.match(showUserCode(makeUserCode()), /^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$/)
})

t.test('records that are damaged, too new, or hold what no step makes', async (t) => {
  const desk = new Desk()
  desk.ask()
  desk.signIn()
  const text = writeDeviceRecord(desk.state)
  const record = JSON.parse(text)
  t.equal(readDeviceRecord(text).name, 'state')
  t.equal(readDeviceRecord(JSON.stringify({ ...record, version: 2 })).name, 'newer')
  for (const damaged of [
    '',
    text.slice(0, -1),
    JSON.stringify({ ...record, secret: '' }),
    JSON.stringify({ ...record, devices: [{ ...record.devices[0], key: '../x' }] }),
    JSON.stringify({ ...record, waiting: [{ ...record.waiting[0], expiresAt: -1 }] })
  ])
    t.equal(readDeviceRecord(damaged).name, 'damaged')
})

t.test('access tokens of others, and of nobody', async (t) => {
  const secret = makeDeviceSecret()
  const facts = { key: 'k_anna', device: makeDeviceId(), expiresAt: START + HOUR_MS }
  const token = makeAccessToken(secret, facts)
  const check = new AccessCheck({ secret, ended: [], refusedUntil: 0 }, () => START)
  t.match(check.check(token), { name: 'good', key: 'k_anna' })
  t.equal(check.check(token.replace('k_anna', 'k_bert')).name, 'unknown')
  t.equal(check.check(makeAccessToken(makeDeviceSecret(), facts)).name, 'unknown')
  t.equal(check.check('kgt_').name, 'unknown')
  t.equal(new AccessCheck().check(token).name, 'unknown', 'before the first sign-in')
})
