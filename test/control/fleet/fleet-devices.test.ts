import t, { type Test } from 'tap'
import { DeviceDesk, OPERATOR_USER } from '../../helper/device-desk.ts'
import { FakeRecords } from '../../helper/fake-records.ts'
import { stateFolder } from '../../helper/state-folder.ts'

async function pair(t: Test) {
  const records = new FakeRecords()
  const open = () => DeviceDesk.open(t, { stateDir: stateFolder(t), records })
  return { records, open, a: await open(), b: await open() }
}

/** Resolves when `holds` does; news take a moment. */
async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 30_000
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error('it never held')
    await new Promise((resolve) => setImmediate(resolve))
  }
}

t.test('each step at another gateway', async (t) => {
  const { records, a, b } = await pair(t)
  const { deviceCode, userCode } = await a.ask()
  t.match(await b.control.find(userCode, '192.0.2.2'), { device: { code: userCode } })
  t.equal(await b.approve(userCode), 'decided')
  t.equal(await a.approve(userCode), 'approved', 'once only')
  const first = await a.poll(deviceCode)
  t.equal(b.verdict(first), 'good', 'without having heard of it')
  const second = await b.control.refresh(first.refreshToken, null)
  if (second.name !== 'tokens') throw new Error(second.name)
  t.equal((await a.control.refresh(first.refreshToken, null)).name, 'invalid', 'used at the other')
  t.match(a.log.text(), /a used refresh token was presented again/)
  await until(() => b.verdict(second) === 'ended')
  t.equal(a.verdict(first), 'ended')
  const { value } = await records.read('devices')
  const text = Buffer.from(value ?? '', 'base64').toString('latin1')
  t.notMatch(text, /claude_code|k_1/, 'sealed')
})

t.test('a step at a gateway that has not heard of the one before', async (t) => {
  const { records, a, b } = await pair(t)
  await a.signIn()
  await until(async () => (await b.control.list()).devices.length === 1)
  records.isMute = true
  const tokens = await a.signIn()
  t.equal((await b.control.refresh(tokens.refreshToken, null)).name, 'tokens')
  const { userCode } = await a.ask()
  t.match(await b.control.find(userCode, '192.0.2.2'), { device: { code: userCode } })
})

t.test('both change it at the same moment', async (t) => {
  const { a, b } = await pair(t)
  await a.ask()
  const asked = await Promise.all(
    Array.from({ length: 20 }, (_, at) => (at % 2 === 0 ? a : b).ask(`192.0.2.${at}`))
  )
  for (const { userCode } of asked) t.equal(await a.approve(userCode), 'decided')
  const polls = await Promise.all(
    asked.map(({ deviceCode }, at) => (at % 2 === 0 ? b : a).poll(deviceCode))
  )
  t.equal(new Set(polls.map(({ accessToken }) => accessToken)).size, 20)
  t.equal((await b.control.list()).devices.length, 20)
})

t.test('a write of which nobody knows whether it happened is no second one', async (t) => {
  const { records, a } = await pair(t)
  const tokens = await a.signIn()
  records.failing = 'late'
  const renewed = await a.control.refresh(tokens.refreshToken, null)
  records.failing = 'no'
  if (renewed.name !== 'tokens') throw new Error(renewed.name)
  t.equal((await a.control.refresh(renewed.refreshToken, null)).name, 'tokens')
})

t.test('without Valkey: signed-in devices go on, ends hold, steps are refused', async (t) => {
  const { records, a, b } = await pair(t)
  const [tokens, gone] = [await a.signIn(), await a.signIn()]
  await until(() => b.verdict(gone) === 'good')
  records.failing = 'yes'
  const { refreshToken: token } = tokens
  t.match(await a.control.answer({ name: 'refresh', token, clientId: null }), {
    name: 'unavailable',
    message: /Valkey does not answer/
  })
  t.equal(a.verdict(tokens), 'good')
  await a.control.revoke(gone.refreshToken)
  t.equal(a.verdict(gone), 'ended')
  records.failing = 'no'
  records.reconnect()
  await until(() => b.verdict(gone) === 'ended')
  t.equal((await b.control.refresh(token, null)).name, 'tokens', 'it was not used up')
})

t.test('Valkey that has lost everything is told again', async (t) => {
  const { records, open, a, b } = await pair(t)
  const tokens = await a.signIn()
  await until(async () => (await b.control.list()).devices.length === 1)
  records.forget()
  await until(async () => (await records.read('devices')).rev > 0)
  const c = await open()
  await until(() => c.verdict(tokens) === 'good')
  t.equal((await c.control.refresh(tokens.refreshToken, null)).name, 'tokens')
})

t.test('a record that somebody else has written is not trusted', async (t) => {
  const { records, a } = await pair(t)
  await a.signIn()
  records.put('devices', 'AAAA')
  await until(() => /is not trusted and is rewritten/.test(a.log.text()))
  t.equal((await a.control.list()).devices.length, 1)
})

t.test('an end by an operator is in the log of changes once', async (t) => {
  const { a, b } = await pair(t)
  await a.signIn()
  const [device] = (await a.control.list()).devices
  const ends = await Promise.all(
    [a, b].map((desk) => desk.control.end(device?.id ?? '', OPERATOR_USER))
  )
  t.equal(ends.filter((one) => one !== null).length, 1)
  t.same([...a.audit, ...b.audit].toSorted(), ['device.approve', 'device.end'])
})
