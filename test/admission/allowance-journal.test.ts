import { chmodSync, mkdirSync, readFileSync, rmdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { AllowanceEntry } from '../../src/admission/allowance-core.ts'
import { AllowanceJournal, parseJournal } from '../../src/admission/allowance-journal.ts'
import { codeOf } from '../../src/shared/errors.ts'

function entry(id: string, used: number, reserved: number): AllowanceEntry {
  return { name: `${id}/credits`, period: 29_712_960, used, reserved, recorded: used, version: 4 }
}

t.test('AllowanceJournal', (t) => {
  t.test('tells at any time where the worker is, in a file that does not grow', async (t) => {
    const path = join(t.testdir({}), 'credits', 'worker')
    const journal = new AllowanceJournal(path, { onFailure: (cause) => t.fail(String(cause)) })
    for (let i = 1; i <= 100; i += 1) {
      journal.note(entry('k_a', i * 1_000_000, 5))
      journal.note(entry('k_b', i, 0))
      const read = parseJournal(readFileSync(path, 'latin1'))
      t.strictSame(read, [entry('k_a', i * 1_000_000, 5), entry('k_b', i, 0)])
    }
    t.equal(statSync(path).size, 512)
    t.equal(statSync(path).mode & 0o777, 0o600)
    journal.close()
    journal.note(entry('k_a', 0, 0))
    t.same(parseJournal(readFileSync(path, 'latin1'))?.[0], entry('k_a', 100_000_000, 5))
  })

  t.test('fits the longest name and the largest numbers', async (t) => {
    const path = join(t.testdir({}), 'worker')
    const journal = new AllowanceJournal(path, { onFailure: (cause) => t.fail(String(cause)) })
    const most = Number.MAX_SAFE_INTEGER
    const largest = {
      name: `${'k'.repeat(64)}/credits`,
      period: most,
      used: most,
      reserved: most,
      recorded: most,
      version: most
    }
    journal.note(largest as AllowanceEntry)
    t.strictSame(parseJournal(readFileSync(path, 'latin1')), [largest])
    journal.close()
  })

  t.test('writes what it owes when it is asked to, and at its end', async (t) => {
    const path = join(t.testdir({}), 'worker')
    const journal = new AllowanceJournal(path, { onFailure: (cause) => t.fail(String(cause)) })
    const read = () => parseJournal(readFileSync(path, 'latin1'))
    journal.note(entry('k_a', 0, 1))
    journal.note(entry('k_b', 0, 1))
    journal.owe(entry('k_b', 1, 0))
    t.strictSame(read(), [entry('k_a', 0, 1), entry('k_b', 0, 1)])
    journal.note(entry('k_a', 0, 2))
    t.strictSame(read(), [entry('k_a', 0, 2), entry('k_b', 0, 1)], 'other lines cost nothing')
    journal.flush()
    t.strictSame(read(), [entry('k_a', 0, 2), entry('k_b', 1, 0)])
    journal.owe(entry('k_a', 5, 0))
    journal.note(entry('k_a', 5, 3))
    journal.flush()
    t.strictSame(read(), [entry('k_a', 5, 3), entry('k_b', 1, 0)], 'nor what is out of date')
    journal.owe(entry('k_a', 8, 0))
    journal.close()
    t.strictSame(read(), [entry('k_a', 8, 0), entry('k_b', 1, 0)])
  })

  t.test('no line lies in two pages: a kill cuts none', async (t) => {
    const path = join(t.testdir({}), 'worker')
    const journal = new AllowanceJournal(path, { onFailure: (cause) => t.fail(String(cause)) })
    for (let i = 0; i < 100; i += 1) journal.note(entry(`k_${i}`, i, i))
    journal.close()
    t.equal(4096 % (statSync(path).size / 100), 0)
  })

  t.test('says once that it cannot write, and never writes over what is there', async (t) => {
    const folder = t.testdir({ worker: 'of somebody else' })
    const path = join(folder, 'worker')
    const failures: unknown[] = []
    const journal = new AllowanceJournal(path, { onFailure: (cause) => failures.push(cause) })
    journal.note(entry('k_a', 1, 1))
    journal.note(entry('k_a', 2, 2))
    t.match(failures, [{ code: 'EEXIST' }])
    t.equal(readFileSync(path, 'latin1'), 'of somebody else')
    journal.close()
  })

  t.test('writes everything down again once it can', async (t) => {
    const folder = t.testdir({})
    const path = join(folder, 'worker')
    const heard: string[] = []
    let now = 0
    const journal = new AllowanceJournal(path, {
      onFailure: (cause) => heard.push(codeOf(cause) ?? ''),
      onMended: () => heard.push('mended'),
      now: () => now
    })
    const read = () => parseJournal(readFileSync(path, 'latin1'))
    chmodSync(folder, 0o500)
    mkdirSync(path) // also where root may write anywhere
    journal.note(entry('k_a', 1, 1))
    rmdirSync(path)
    chmodSync(folder, 0o700)
    now += 9_999
    journal.note(entry('k_b', 2, 0))
    t.throws(read, 'not tried again with each request')
    now += 1
    journal.note(entry('k_a', 3, 0))
    t.strictSame(read(), [entry('k_a', 3, 0), entry('k_b', 2, 0)])
    journal.note(entry('k_b', 4, 0))
    t.strictSame(read(), [entry('k_a', 3, 0), entry('k_b', 4, 0)])
    t.match(heard, [/EEXIST|EISDIR|EACCES/, 'mended'])
    journal.close()
  })
  t.end()
})

t.test('parseJournal()', async (t) => {
  const path = join(t.testdir({}), 'worker')
  const journal = new AllowanceJournal(path, { onFailure: (cause) => t.fail(String(cause)) })
  journal.note(entry('k_a', 7, 1))
  journal.close()
  const whole = readFileSync(path, 'latin1')
  t.same(parseJournal(''), null)
  for (let end = 1; end < whole.length; end += 1)
    t.equal(parseJournal(whole.slice(0, end)), null, `${end} bytes of it`)
  for (const wrong of ['-1', 'NaN', '1.5', '1e400', 'x', '7 7', '']) {
    const line = `k_a/credits 29712960 ${wrong} 1 1 1`.padEnd(255)
    t.equal(parseJournal(`${line}\n`), null, wrong)
    t.equal(parseJournal(`${whole}${line} `), null, 'a line without an end')
  }
  t.equal(parseJournal(whole.replace('/credits', '/creditz')), null)
})
