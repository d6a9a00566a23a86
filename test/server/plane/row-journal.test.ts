import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { begunIn, readRows } from '../../../src/control/usage/row-files.ts'
import { RowJournal } from '../../../src/server/plane/primary-links.ts'
import { usageRow } from '../../helper/usage-row.ts'

const Module = new URL('../../../src/server/plane/primary-links.ts', import.meta.url).href

/** The disk ends in the middle of the third row, and has room again before the fourth. */
const Script = `
  import { execFileSync } from 'node:child_process'
  import { readFileSync, statSync } from 'node:fs'
  const { RowJournal } = await import(process.argv[1])
  const { usageRow } = await import(process.argv[2])
  const path = process.argv[3]
  const limit = (bytes) => execFileSync('prlimit', ['--pid', String(process.pid), '--fsize=' + bytes + ':unlimited'])
  const journal = new RowJournal(path, {
    onFailure: (cause) => process.stdout.write(cause.code + ' '),
    onNextFile: () => process.stdout.write('next ')
  })
  const row = usageRow()
  const note = (seq) => process.stdout.write(journal.note({ seq, row }) ? 'written ' : 'lost ')
  for (const seq of [0, 1]) note(seq)
  limit(statSync(path + '-0').size + 100)
  note(2)
  limit('unlimited')
  for (const seq of [3, 1000]) note(seq)
  journal.close()
  note(1001)
`

t.test('RowJournal', { skip: process.platform !== 'linux' }, (t) => {
  t.test('puts nothing behind half a row, and goes on with the next file', async (t) => {
    const path = join(t.testdir({}), 'rows')
    const helper = new URL('../../helper/usage-row.ts', import.meta.url).href
    const args = ['--input-type=module', '--eval', Script, Module, helper, path]
    t.equal(
      execFileSync(process.execPath, args, { encoding: 'utf8' }),
      'next written written ENOSPC lost lost next written lost '
    )
    t.same(
      readRows(path, 0).map(({ seq }) => seq),
      [0, 1]
    )
    t.same(
      readRows(path, 1).map(({ seq }) => seq),
      [1000]
    )
  })

  t.test('says how many have begun with the next row, or a turn later', async (t) => {
    const path = join(t.testdir({}), 'rows')
    const journal = new RowJournal(path, {
      onFailure: (cause) => t.fail(String(cause)),
      onNextFile: () => {}
    })
    const lines = () => readFileSync(`${path}-0`, 'utf8').split('\n').slice(1, -1)
    journal.noteBegun(1)
    t.same(lines(), ['{"begun":1}'], 'a new file says it at once')
    journal.noteBegun(2)
    journal.noteBegun(3)
    t.equal(begunIn(path), 1)
    t.ok(journal.note({ seq: 0, row: usageRow() }))
    t.equal(begunIn(path), 3)
    await turn()
    t.equal(lines().length, 3, 'and once')
    journal.noteBegun(4)
    await turn()
    t.equal(begunIn(path), 4)
    journal.noteBegun(5)
    journal.close()
    await turn()
    t.equal(begunIn(path), 4)
  })
  t.end()
})
