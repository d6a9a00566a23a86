import t from 'tap'
import { Allowances, type Share } from '../../src/admission/allowances.ts'
import {
  type AllowanceName,
  type AllowanceReport,
  type AllowanceGrant,
  noGrant
} from '../../src/ipc/allowance.ts'
import { GatewayError } from '../../src/shared/errors.ts'
import { ManualClock } from '../helper/manual-clock.ts'

const CREDIT = 1_000_000
const PRICE = CREDIT / 100

interface RigOptions {
  readonly name?: AllowanceName
  readonly isSilent?: boolean
}

/** A worker with two credits of a limit, and a primary that grants more when they are needed, unless it is silent. */
function rig({ name = 'anna/credits', isSilent = false }: RigOptions = {}) {
  const clock = new ManualClock()
  const sent: AllowanceReport[] = []
  const allowances = new Allowances({
    send: (reports) => {
      sent.push(...reports)
      for (const { seq, used, reserved, returned, spare, wanted, usual } of reports) {
        if (isSilent || (spare * 2 >= usual && wanted === 0)) continue
        const granted = used + reserved + returned + spare + wanted + usual
        clock.setImmediate(() => onGrant({ seq: seq + 1, granted, ahead: usual }))
      }
    },
    silence: () => new AbortController().signal,
    clock
  })
  const onGrant = (grant: Partial<AllowanceGrant>): void => {
    allowances.onGrants([{ ...noGrant(name), seq: 1, period: 1, granted: 2 * CREDIT, ...grant }])
  }
  onGrant({})
  const take = (amount: number, signal = new AbortController().signal): Promise<Share> => {
    const part = { name, amount, arrivedAt: clock.now(), refusal }
    return allowances.take(part, signal)
  }
  const pass = (ms: number): void => {
    for (let i = 0; i < ms; i += 50) {
      clock.advance(50)
      for (const _ of ['a report', 'its grant']) clock.turn()
    }
  }
  return { clock, sent, onGrant, take, pass }
}

t.test('an idle key', (t) => {
  t.test('gives back what its requests do not take now, within 1.5 s', async (t) => {
    const { sent, take, pass, clock } = rig()
    const first = await take(CREDIT) // the price is unknown
    first.settle(PRICE)
    const next = await take(PRICE)
    next.settle(PRICE)
    pass(1_500)
    const last = sent.at(-1)
    t.match(last, { used: 2 * PRICE, reserved: 0, usual: PRICE })
    t.equal(last?.spare, PRICE, 'what the next request takes')
    t.equal(last?.returned, 2 * CREDIT - 3 * PRICE)
    const messages = sent.length
    t.ok(messages <= 3, `${messages} messages`)
    pass(60_000)
    t.equal(sent.length, messages, 'and says no more')
    t.equal(clock.timers, 0, 'and needs no timer')
  })

  t.test('gives back what one request reserved at an unknown price', async (t) => {
    const { sent, take, pass } = rig()
    const only = await take(CREDIT)
    only.settle(PRICE)
    pass(1_500)
    t.ok((sent.at(-1)?.spare ?? CREDIT) <= 4 * PRICE, `${sent.at(-1)?.spare}`)
  })

  t.test('gives back everything after an answer that cost nothing', async (t) => {
    const { sent, take, pass } = rig()
    const only = await take(CREDIT)
    only.settle(0)
    pass(1_500)
    t.match(sent.at(-1), { spare: 0, returned: 2 * CREDIT })
  })

  t.test('keeps what a running request holds', async (t) => {
    const { sent, take, pass, clock } = rig()
    const share = await take(CREDIT / 2)
    pass(1_500)
    t.match(sent.at(-1), { reserved: CREDIT / 2, spare: CREDIT / 2, returned: CREDIT })
    share.settle(CREDIT / 2)
    pass(1_500)
    t.match(sent.at(-1), { used: CREDIT / 2, reserved: 0, spare: CREDIT / 2 })
    t.equal(clock.timers, 0)
  })

  t.test('keeps twice what its next request takes', async (t) => {
    const { sent, take, pass, onGrant } = rig({ isSilent: true })
    onGrant({ seq: 2, granted: 3 * PRICE })
    const share = await take(PRICE)
    share.settle(PRICE)
    pass(1_500)
    t.match(sent.at(-1), { spare: 2 * PRICE, returned: 0 })
  })

  t.test('tells that its requests take less now', async (t) => {
    const { sent, take, pass, onGrant } = rig({ isSilent: true })
    onGrant({ seq: 2, granted: 20 * PRICE })
    const shares = await Promise.all(Array.from({ length: 20 }, () => take(PRICE)))
    for (const share of shares) share.settle(PRICE)
    pass(200)
    t.match(sent.at(-1), { usual: 20 * PRICE })
    pass(1_500)
    t.match(sent.at(-1), { usual: PRICE, returned: 0 })
  })

  t.test('gives back nothing of what an answer has cost beyond its reservation', async (t) => {
    const { sent, take, pass } = rig({ isSilent: true })
    const share = await take(PRICE)
    pass(1_000)
    share.settle(CREDIT)
    pass(1_500)
    t.match(sent.at(-1), { spare: PRICE, returned: CREDIT - PRICE })
    t.notOk(sent.some(({ spare }) => spare < 0))
  })

  t.test('gives back what was too little for a refused request', async (t) => {
    const { sent, take, pass, onGrant } = rig({ isSilent: true })
    const large = take(3 * CREDIT)
    pass(50)
    const { seq } = sent.at(-1) ?? { seq: 0 }
    onGrant({ seq: seq + 1, final: seq }) // there is no more
    await t.rejects(large, { code: 'GW_KEY_INVALID' })
    pass(1_500)
    t.match(sent.at(-1), { spare: 0, returned: 2 * CREDIT, usual: 0 })
  })

  t.test('gives back what was for a request whose client has left', async (t) => {
    const { sent, take, pass } = rig({ isSilent: true })
    const leaves = new AbortController()
    const large = take(3 * CREDIT, leaves.signal)
    pass(50)
    leaves.abort()
    await t.rejects(large)
    pass(1_500)
    t.match(sent.at(-1), { spare: 0, returned: 2 * CREDIT })
  })

  t.test('gives back nothing while a request waits for more', async (t) => {
    const { sent, take, pass } = rig({ isSilent: true })
    const share = await take(CREDIT)
    void take(3 * CREDIT)
    share.settle(PRICE)
    pass(1_500)
    t.match(sent.at(-1), { returned: 0, spare: 2 * CREDIT - PRICE })
  })

  t.test('keeps streams and requests of a minute', async (t) => {
    for (const name of ['anna/streams', 'anna/requests'] as const) {
      const { sent, take, pass } = rig({ name })
      const only = await take(1)
      only.settle(0)
      pass(1_500)
      t.same(sent, [], name)
    }
  })
  t.end()
})

t.test('a key with steady traffic', (t) => {
  t.test('gives back once what it does not need, and then nothing', async (t) => {
    const { sent, take, pass } = rig()
    const first = await take(CREDIT)
    first.settle(PRICE)
    for (let i = 0; i < 100; i++) {
      const taken = take(2 * PRICE)
      pass(50)
      const share = await taken
      share.settle(PRICE)
    }
    const returned = new Set(sent.map((one) => one.returned))
    returned.delete(0)
    t.equal(returned.size, 1, [...returned].join())
  })

  t.test('keeps what its requests take within 50 ms', async (t) => {
    const { sent, take, pass } = rig()
    const first = await take(CREDIT)
    first.settle(PRICE)
    pass(1_350)
    for (let i = 0; i < 20; i++) {
      const share = await take(PRICE)
      share.settle(PRICE)
    }
    pass(50)
    const { spare = 0, returned = 0 } = sent.at(-1) ?? {}
    t.ok(returned > 0 && spare >= 10 * PRICE, `${spare} of ${returned + spare}`)
  })

  t.test('keeps what each of its bursts needs', async (t) => {
    const { sent, take, pass, onGrant } = rig()
    onGrant({ seq: 2, granted: 10 * CREDIT })
    for (let i = 0; i < 10; i++) {
      const shares = await Promise.all(Array.from({ length: 20 }, () => take(CREDIT / 4)))
      for (const share of shares) share.settle(0)
      pass(400)
    }
    const [least] = sent.map(({ spare, reserved }) => spare + reserved).toSorted((a, b) => a - b)
    t.ok((least ?? Infinity) >= 5 * CREDIT, `${least}`)
  })
  t.end()
})

function refusal(): GatewayError {
  return new GatewayError('GW_KEY_INVALID')
}
