import t from 'tap'
import { KeyTrialPace } from '../../../src/control/keys/key-trial-pace.ts'
import type { FromWorker, KiroKeyVerdict } from '../../../src/ipc/messages.ts'
import { KeyTrials } from '../../../src/server/primary/key-trials.ts'
import { FakePulse } from '../../helper/fake-pulse.ts'

/** Trials of one worker, or of a second one with the `pace` of the first. */
function setUp(
  perMinute = 60,
  { clock = { now: 1_000_000 }, pace = paceOf(perMinute, clock) } = {}
) {
  const verdicts: KiroKeyVerdict[] = []
  const silence = new AbortController()
  let questions = 0
  const send = (message: FromWorker): void => {
    if (message.type === 'kiro-key.lesson') {
      const { name, isAccepted } = message
      verdicts.push({ name, isAccepted })
    }
  }
  const pulse = new FakePulse(({ requestId }) => {
    questions++
    const waitMs = pace.take()
    setImmediate(() => pulse.answer(requestId, waitMs))
  }, silence.signal)
  const trials = new KeyTrials({
    channel: { send },
    pulse,
    now: () => clock.now
  })
  const abort = new AbortController()
  const admit = (name: string) => trials.admit(name, abort.signal)
  return { trials, clock, pace, abort, silence, admit, verdicts, questions: () => questions }
}

function paceOf(perMinute: number, clock: { readonly now: number }): KeyTrialPace {
  return new KeyTrialPace(
    () => perMinute,
    () => clock.now
  )
}

const refused = { code: 'GW_UPSTREAM_AUTH' }
const tooOften = { code: 'GW_NEW_KEYS_OFTEN' }

t.test('KeyTrials', async (t) => {
  t.test('lets one request of a new key on trial, and all once it is accepted', async (t) => {
    const { trials, admit } = setUp()
    t.ok(await admit('a'))
    const others = [admit('a'), admit('a')]
    t.notOk(trials.isAccepted('a'))
    trials.accept('a')
    t.same(await Promise.all(others), [null, null])
    t.ok(trials.isAccepted('a'))
    t.equal(await admit('a'), null)
  })

  t.test('refuses those who wait when the key is refused, and for a minute', async (t) => {
    const { trials, clock, admit } = setUp()
    await admit('a')
    const other = admit('a')
    t.match(trials.refuse('a'), refused)
    await t.rejects(other, refused)
    clock.now += 59_999
    await t.rejects(admit('a'), refused)
    clock.now += 1
    t.ok(await admit('a'), 'another trial')
  })

  t.test('has the next one try where a request ended without a verdict', async (t) => {
    const { trials, admit } = setUp()
    const first = await admit('a')
    const [second, third] = [admit('a'), admit('a')]
    first?.[Symbol.dispose]()
    t.ok(await second)
    first?.[Symbol.dispose]() // again: it ends no trial of others
    trials.accept('a')
    t.equal(await third, null)
  })

  t.test('tries an accepted key once more where the upstream refuses it', async (t) => {
    const { trials, admit } = setUp()
    await admit('a')
    trials.accept('a')
    t.match(trials.refuse('a'), refused)
    t.notOk(trials.isAccepted('a'))
    t.ok(await admit('a'), 'it may have been a mistake')
    trials.refuse('a')
    await t.rejects(admit('a'), refused)
  })

  t.test('tells what others must know, and hears it of them', async (t) => {
    const { trials, admit, verdicts } = setUp()
    await admit('a')
    trials.accept('a')
    trials.accept('a')
    trials.refuse('a')
    trials.refuse('b')
    t.same(verdicts, [
      { name: 'a', isAccepted: true },
      { name: 'a', isAccepted: false }
    ])
    await admit('c')
    const waits = admit('c')
    trials.onVerdict({ name: 'c', isAccepted: true })
    t.equal(await waits, null)
    trials.onVerdict({ name: 'c', isAccepted: false })
    t.ok(await admit('c'))
    t.equal(verdicts.length, 2, 'what comes from others is not told again')
  })

  t.test('lets so many begin in any minute, and no more', async (t) => {
    const { clock, admit } = setUp(6)
    for (let index = 0; index < 6; index++) {
      t.ok(await admit(`k${index}`))
      clock.now += 1_000
    }
    await t.rejects(admit('next'), { ...tooOften, retryAfterS: 54 })
    clock.now += 53_999
    await t.rejects(admit('next'), { ...tooOften, retryAfterS: 1 })
    clock.now += 1
    t.ok(await admit('next'))
    await t.rejects(admit('another'), tooOften)
    clock.now += 3_600_000
    for (let index = 0; index < 6; index++) t.ok(await admit(`later${index}`))
    await t.rejects(admit('one too many'), tooOften)
  })

  t.test('has the whole rate in whichever worker it is wanted', async (t) => {
    const first = setUp(6)
    const second = setUp(6, first)
    for (let index = 0; index < 5; index++) t.ok(await first.admit(`k${index}`))
    t.ok(await second.admit('other'))
    await t.rejects(second.admit('more'), tooOften)
    await t.rejects(first.admit('more'), tooOften)
  })

  t.test('asks the primary once in a second where it says no', async (t) => {
    const { clock, admit, questions } = setUp(1)
    t.ok(await admit('a'))
    await t.rejects(admit('b'), tooOften)
    for (let index = 0; index < 100; index++) {
      await t.rejects(admit(`k${index}`), { ...tooOften, retryAfterS: 60 })
    }
    t.equal(questions(), 2)
    clock.now += 1_000
    await t.rejects(admit('c'), { ...tooOften, retryAfterS: 59 })
    t.equal(questions(), 3)
  })

  t.test('lets nobody begin while the primary is silent', async (t) => {
    const { silence, admit } = setUp()
    silence.abort(new Error('silent'))
    await t.rejects(admit('a'), { message: 'silent' })
    await t.rejects(admit('a'), { message: 'silent' }, 'and no one waits for the first')
  })

  t.test('bounds how many wait, and lets those go whose clients left', async (t) => {
    const { trials, abort, admit } = setUp()
    await admit('a')
    const all = Array.from({ length: 64 }, () => admit('a'))
    await t.rejects(admit('a'), tooOften)
    abort.abort(new Error('left'))
    for (const one of all) await t.rejects(one, { message: 'left' })
    const again = trials.admit('a', new AbortController().signal)
    trials.accept('a')
    t.equal(await again, null)
  })

  t.test('remembers so many keys and no more', async (t) => {
    const { trials, clock, admit } = setUp(1_000_000)
    for (let index = 0; index <= 1024; index++) trials.accept(`k${index}`)
    t.notOk(trials.isAccepted('k0'))
    t.ok(trials.isAccepted('k1'))
    for (let index = 0; index <= 4096; index++) trials.refuse(`r${index}`)
    t.ok(await admit('r0'), 'forgotten')
    await t.rejects(admit('r1'), refused)
    clock.now += 60_000
    t.ok(await admit('r1'))
  })
})

t.test('KeyTrialPace takes a lower rate at once, and a higher one', async (t) => {
  const clock = { now: 0 }
  let perMinute = 4
  const pace = new KeyTrialPace(
    () => perMinute,
    () => clock.now
  )
  for (let index = 0; index < 4; index++) {
    t.equal(pace.take(), 0)
    clock.now += 10_000
  }
  t.equal(pace.take(), 20_000)
  perMinute = 2
  t.equal(pace.take(), 40_000, 'when the third is over')
  perMinute = 5
  t.equal(pace.take(), 0)
})
