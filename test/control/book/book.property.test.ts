import t from 'tap'
import { AllowanceCore } from '../../../src/admission/allowance-core.ts'
import { nextAllowance, openAllowance } from '../../../src/control/allowances/allowance-ledger.ts'
import { nextPage, openPage } from '../../../src/control/book/page.ts'
import { seededRandom } from '../../helper/seeded-random.ts'
import { SimulatedBook } from '../../helper/simulated-book.ts'

const machines = { AllowanceCore, nextAllowance, openAllowance, nextPage, openPage }

/** `BOOK_STEPS=10000000 node test/control/book/book.property.test.ts` plays more. */
const STEPS = Number(process.env['BOOK_STEPS'] ?? 200_000)
const WORLD_STEPS = 400

t.setTimeout(3_600_000)

t.test(
  'an account book, whatever fails, is never overdrawn, forgets nothing and counts nothing twice',
  (t) => {
    let steps = 0
    for (let seed = 1; steps < STEPS; seed++) {
      const random = seededRandom(seed)
      const world = new SimulatedBook(machines, random, 1 + Math.floor(random() * 40))
      try {
        for (let n = 0; n < WORLD_STEPS; n++) world.step()
        world.conclude()
      } catch (cause) {
        t.fail(`seed ${seed}, step ${world.steps}: ${String(cause)}`)
        break
      }
      steps += world.steps
    }
    t.ok(steps >= STEPS, `${steps} steps`)
    t.end()
  }
)
