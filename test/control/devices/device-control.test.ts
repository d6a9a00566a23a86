import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { DEVICE_LIMITS } from '../../../src/devices/device-limits.ts'
import type { DeviceUser } from '../../../src/ipc/devices.ts'
import { DeviceDesk, OPERATOR_USER } from '../../helper/device-desk.ts'
import { hashOfKey, namedKey } from '../../helper/named-key.ts'
import { OwnDisk } from '../../helper/own-disk.ts'
import { stateFolder } from '../../helper/state-folder.ts'

const ANNA: DeviceUser = {
  role: 'person',
  name: 'anna',
  key: 'k_1',
  via: 'session',
  address: '192.0.2.7'
}

/** Resolves when `holds` does: another gateway's file is looked at once a second. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 30_000
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error('it never held')
    await delay(20)
  }
}

t.test('who may approve, and for which key', async (t) => {
  const approve = await DeviceDesk.open(t, { stateDir: stateFolder(t) })
  const { userCode } = await approve.ask()
  t.equal(await approve.approve(userCode, ANNA), 'not-allowed', 'DEVICE_SIGN_IN=approve')
  t.match(await approve.control.deny(userCode, ANNA), { why: 'not-allowed' })
  t.equal(await approve.approve(userCode), 'decided')
  t.same(approve.audit, ['device.approve'])

  const keys = [namedKey(), namedKey({ id: 'k_2', name: 'bert', hashes: [hashOfKey('b')] })]
  const env = { DEVICE_SIGN_IN: 'self' }
  const self = await DeviceDesk.open(t, { stateDir: stateFolder(t), env, keys })
  const { userCode: code } = await self.ask()
  t.match(await self.control.approve(code, { key: 'k_2' }, ANNA), { why: 'not-allowed' })
  t.match(await self.control.approve(code, { open: true }, ANNA), { why: 'not-open' })
  self.keys = [namedKey({ expiresAt: 1 })]
  t.equal(await self.approve(code, ANNA), 'key', 'the key has expired')
  self.keys = keys
  t.equal(await self.approve(code, ANNA), 'decided')
})

t.test('a gateway without keys gives none, and a click is enough', async (t) => {
  const env = { PROXY_API_KEY: '' }
  const desk = await DeviceDesk.open(t, { stateDir: stateFolder(t), env, keys: [] })
  const { userCode } = await desk.ask()
  t.equal(await desk.approve(userCode), 'open')
  t.match(await desk.control.approve(userCode, { open: true }, ANNA), { why: 'not-allowed' })
  const operator = { ...ANNA, role: 'operator', key: null, via: 'open' } as const
  t.match(await desk.control.approve(userCode, { open: true }, operator), { name: 'decided' })
})

t.test('an end is known to all workers before it is answered', async (t) => {
  const desk = await DeviceDesk.open(t, { stateDir: stateFolder(t) })
  const [one, other] = [await desk.signIn(), await desk.signIn()]
  await desk.control.revoke(one.accessToken)
  t.equal(desk.settled, 1)
  const { devices } = await desk.control.list()
  await desk.control.end(devices[0]?.id ?? '', OPERATOR_USER)
  t.equal(desk.settled, 2)
  t.equal(desk.verdict(other), 'ended')
  const third = await desk.signIn()
  await desk.control.refresh(third.refreshToken, null)
  await desk.control.refresh(third.refreshToken, null)
  t.equal(desk.settled, 3, 'after a token that was used twice, too')
})

t.test('a sign-in ends with the key with which a person has approved it', async (t) => {
  const [old, next] = [hashOfKey('old'), hashOfKey('new')]
  const env = { DEVICE_SIGN_IN: 'self' }
  const keys = [namedKey({ hashes: [old] })]
  const desk = await DeviceDesk.open(t, { stateDir: stateFolder(t), env, keys })
  const own = await desk.signIn({ ...ANNA, proof: old.sha256 })
  const operators = await desk.signIn()
  const unproven = await desk.signIn(ANNA)
  desk.keys = [namedKey({ hashes: [next, { ...old, until: Date.now() + 60_000 }] })]
  await desk.control.onKeys()
  t.equal(desk.verdict(own), 'good', 'while the old key is valid')
  desk.keys = [namedKey({ hashes: [next, { ...old, until: Date.now() - 1 }] })]
  t.equal((await desk.control.refresh(own.refreshToken, null)).name, 'invalid')
  await desk.control.onKeys()
  t.equal(desk.verdict(own), 'ended')
  t.equal(desk.verdict(unproven), 'ended', 'without a proof it is the key of then')
  t.equal(desk.verdict(operators), 'good')
  desk.keys = [namedKey({ revokedAt: 1 })]
  await desk.control.onKeys()
  t.equal(desk.verdict(operators), 'ended')
})

t.test('codes of others are not to be guessed', async (t) => {
  const desk = await DeviceDesk.open(t, { stateDir: stateFolder(t) })
  const { userCode } = await desk.ask()
  for (let wrong = 0; wrong < 5; wrong += 1)
    t.match(await desk.control.find(`BBBB-BBB${'CDFGH'[wrong]}`, '198.51.100.1'), { device: null })
  t.match(await desk.control.find(userCode, '198.51.100.1'), { name: 'often' }, 'also a right one')
  t.match(await desk.control.find(userCode, '198.51.100.2'), {
    device: { code: userCode, address: '192.0.2.1' }
  })
  for (let typo = 0; typo < 10; typo += 1)
    t.match(await desk.control.find('BCD', '198.51.100.3'), { device: null })
  t.match(
    await desk.control.find(userCode, '198.51.100.3'),
    { device: { code: userCode } },
    'what cannot be a code is no guess'
  )
})

t.test('10,000 asks are bounded, and hold nothing up', async (t) => {
  const stateDir = stateFolder(t)
  const desk = await DeviceDesk.open(t, { stateDir })
  const { userCode } = await desk.ask()
  let turns = 0
  let isOver = false
  const beat = (): void => {
    turns += 1
    if (!isOver) setImmediate(beat)
  }
  setImmediate(beat)
  const counts = new Map<string, number>()
  for (let burst = 0; burst < 10; burst += 1) {
    const asks = Array.from({ length: 1_000 }, (_, one) => {
      const number = burst * 1_000 + one
      const address = `10.${number >> 16}.${(number >> 8) & 255}.${number & 255}`
      const text = `${number} `.repeat(64).slice(0, 64)
      return desk.control.ask({ clientId: text, client: text, host: text, address })
    })
    for (const { name } of await Promise.all(asks)) counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  isOver = true
  t.equal(counts.get('asked'), DEVICE_LIMITS.pending - 1)
  t.equal(counts.get('full'), 10_000 - DEVICE_LIMITS.pending + 1)
  t.ok(turns >= 10_000 / 64, `others had ${turns} turns of the event loop meanwhile`)
  t.ok(statSync(join(stateDir, 'devices.json')).size < 1024 * 1024)
  t.equal(await desk.approve(userCode), 'decided', 'nobody was pushed out')
})

t.test('more steps at once than can wait are refused', async (t) => {
  const desk = await DeviceDesk.open(t, { stateDir: stateFolder(t) })
  const steps = Array.from({ length: 3_000 }, () =>
    desk.control.answer({
      name: 'ask',
      clientId: null,
      client: '',
      host: '',
      address: '192.0.2.1'
    })
  )
  const names = new Set((await Promise.all(steps)).map(({ name }) => name))
  t.same([...names].toSorted(), ['asked', 'full', 'unavailable'])
  t.match(await desk.ask('192.0.2.9'), { name: 'asked' }, 'then it goes on')
})

t.test('a crowd that asks keeps nobody from ending a sign-in', async (t) => {
  const desk = await DeviceDesk.open(t, { stateDir: stateFolder(t) })
  const [first, second] = [await desk.signIn(), await desk.signIn()]
  const { devices } = await desk.control.list()
  const own = devices.find(({ id }) => first.accessToken.includes(id))
  const facts = { clientId: null, client: '', host: '' }
  const asks = Array.from({ length: 3_000 }, (_, at) =>
    desk.control.answer({ name: 'ask', ...facts, address: `192.0.${at % 200}.1` })
  )
  desk.keys = [namedKey({ revokedAt: Date.now() })]
  const [ended] = await Promise.all([
    desk.control.end(own?.id ?? '', OPERATOR_USER),
    desk.control.onKeys()
  ])
  t.match(ended, { id: own?.id })
  t.equal(desk.verdict(first), 'ended')
  t.equal(desk.verdict(second), 'ended', 'with its key')
  const names = (await Promise.all(asks)).map(({ name }) => name)
  t.ok(names.includes('unavailable'), 'more asked than can wait')
})

t.test('the file: private, whole after a restart, shared by two gateways', async (t) => {
  const stateDir = stateFolder(t)
  const one = await DeviceDesk.open(t, { stateDir })
  const tokens = await one.signIn()
  const { userCode, deviceCode } = await one.ask()
  const path = join(stateDir, 'devices.json')
  t.equal(statSync(path).mode & 0o777, 0o600)
  for (const secret of [tokens.accessToken, tokens.refreshToken, deviceCode])
    t.notOk(readFileSync(path, 'utf8').includes(secret))
  const other = await DeviceDesk.open(t, { stateDir })
  t.equal(other.verdict(tokens), 'good')
  t.equal(await other.approve(userCode), 'decided')
  await until(async () => (await one.control.list()).pending.length === 0)
  const later = await one.poll(deviceCode)
  t.equal(one.verdict(later), 'good', 'one has read what the other wrote')
  for (const { id } of (await other.control.list()).devices)
    t.match(await other.control.end(id, OPERATOR_USER), { id })
  const renewed = await one.control.refresh(tokens.refreshToken, null)
  t.equal(renewed.name, 'invalid')
  t.equal(one.verdict(tokens), 'ended')
  rmSync(path)
  await until(async () => existsSync(path))
  const again = await DeviceDesk.open(t, { stateDir })
  t.equal(again.verdict(tokens), 'ended', 'a file that was deleted is written again')
})

t.test('a damaged file is moved aside, one of a newer version left alone', async (t) => {
  const stateDir = stateFolder(t)
  const path = join(stateDir, 'devices.json')
  const before = await DeviceDesk.open(t, { stateDir })
  const tokens = await before.signIn()
  const half = readFileSync(path, 'utf8').slice(0, -100)
  before.control.close()
  writeFileSync(path, half)
  const desk = await DeviceDesk.open(t, { stateDir })
  t.match(desk.log.text(), /the sign-ins of devices are damaged: the file was moved aside/)
  const [aside = ''] = readdirSync(stateDir).filter((name) => name.includes('damaged'))
  t.equal(readFileSync(join(stateDir, aside), 'utf8'), half, 'nothing of it is lost')
  t.equal(desk.verdict(tokens), 'unknown')
  t.equal(desk.verdict(await desk.signIn()), 'good')

  const newer = JSON.stringify({ version: 2 })
  writeFileSync(path, newer)
  const old = await DeviceDesk.open(t, { stateDir })
  const asked = { clientId: null, client: '', host: '', address: '192.0.2.1' }
  t.match(await old.control.answer({ name: 'ask', ...asked }), {
    name: 'unavailable',
    message: /newer version/
  })
  t.equal(readFileSync(path, 'utf8'), newer)
})

t.test('a full disk', { skip: OwnDisk.whyNot('tmpfs') }, async (t) => {
  const disk = OwnDisk.mount(t, 'tmpfs', 1)
  const desk = await DeviceDesk.open(t, { stateDir: disk.folder })
  const [tokens, other] = [await desk.signIn(), await desk.signIn()]
  const { userCode } = await desk.ask()
  disk.fill()
  t.match(
    await desk.control.answer({ name: 'refresh', token: tokens.refreshToken, clientId: null }),
    {
      name: 'unavailable',
      message: /cannot be saved \(ENOSPC\)/
    }
  )
  t.match(
    await desk.control.answer({
      name: 'approve',
      code: userCode,
      grant: { key: 'k_1' },
      by: { ...ANNA, role: 'operator' }
    }),
    { name: 'unavailable' }
  )
  t.same(desk.audit, ['device.approve', 'device.approve'], 'nothing is written down as done')
  t.match(desk.log.text(), /the sign-ins of devices cannot be saved/)
  t.equal(desk.verdict(tokens), 'good', 'devices that have signed in go on')
  t.match(await desk.control.revoke(other.accessToken), { name: 'revoked' })
  t.equal(desk.verdict(other), 'ended', 'an end holds all the same')
  const late = { name: 'refresh', token: other.refreshToken, clientId: null } as const
  t.not((await desk.control.answer(late)).name, 'tokens')
  disk.makeRoom()
  t.equal(
    (await desk.control.refresh(tokens.refreshToken, null)).name,
    'tokens',
    'it was not used up'
  )
  t.equal(await desk.approve(userCode), 'decided')
  t.match(desk.log.text(), /the sign-ins of devices are saved again/)
  const later = await DeviceDesk.open(t, { stateDir: disk.folder })
  t.equal(later.verdict(other), 'ended', 'and is kept by now')
})

t.test('a poll that waits writes nothing', async (t) => {
  const stateDir = stateFolder(t)
  const desk = await DeviceDesk.open(t, { stateDir })
  const { deviceCode } = await desk.ask()
  const { mtimeMs } = statSync(join(stateDir, 'devices.json'))
  await delay(10)
  t.equal((await desk.control.poll(deviceCode, null)).name, 'pending')
  t.equal((await desk.control.poll(deviceCode, null)).name, 'slow-down')
  await nextTurn()
  t.equal(statSync(join(stateDir, 'devices.json')).mtimeMs, mtimeMs)
})

t.test('two polls at the same moment: one sign-in', async (t) => {
  const desk = await DeviceDesk.open(t, { stateDir: stateFolder(t) })
  const { userCode, deviceCode } = await desk.ask()
  await desk.approve(userCode)
  const polls = await Promise.all([1, 2, 3].map(() => desk.control.poll(deviceCode, null)))
  t.same(polls.map(({ name }) => name).toSorted(), ['invalid', 'invalid', 'tokens'])
  t.equal((await desk.control.list()).devices.length, 1)
})

t.test('approved by two at the same moment: one of them', async (t) => {
  const desk = await DeviceDesk.open(t, { stateDir: stateFolder(t) })
  const { userCode } = await desk.ask()
  const both = await Promise.all([desk.approve(userCode), desk.approve(userCode)])
  t.same(both.toSorted(), ['approved', 'decided'])
})
