import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { AllowanceControl } from '../../../src/control/allowances/allowance-control.ts'
import { BookDatabase } from '../../../src/control/book/book-database.ts'
import { UsageBook } from '../../../src/control/book/usage-book.ts'
import { isNightly } from '../../helper/nightly.ts'
import { seededRandom } from '../../helper/seeded-random.ts'
import { SharedFolder } from '../../helper/shared-folder.ts'

const shells = { AllowanceControl, BookDatabase, UsageBook }

/** `STEPS=1000000 node test/control/book/shared-folder.property.test.ts` plays more, `SEED=7` one world. */
const STEPS = Number(process.env['STEPS'] ?? (isNightly ? 6_000 : 2_000))
const SEED = Number(process.env['SEED'] ?? 0)
const WORLD_STEPS = 200

t.setTimeout(3_600_000)

t.test('gateways on one folder, with the real book and leases, whatever fails', async (t) => {
  const memory = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
  const folder = join(memory, `kiro-gateway-folder-${process.pid}`)
  let steps = 0
  for (let seed = SEED || 1; steps < STEPS; seed++) {
    const world = new SharedFolder(shells, seededRandom(seed), folder)
    try {
      await world.play(WORLD_STEPS)
    } catch (cause) {
      t.fail(`seed ${seed}, step ${world.steps}: ${cause instanceof Error ? cause.stack : ''}`)
      break
    }
    steps += world.steps
    if (SEED > 0) break
  }
  t.ok(steps > 0, `${steps} steps`)
})
