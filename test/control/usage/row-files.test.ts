import { execFileSync } from 'node:child_process'
import { mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readMarks, readRows, rowFilesOf } from '../../../src/control/usage/row-files.ts'
import { markOf } from '../../../src/shared/process-mark.ts'
import { usageRow } from '../../helper/usage-row.ts'

const line = (seq: unknown, row: unknown = usageRow(), credits?: unknown): string =>
  `${JSON.stringify({ seq, row, credits })}\n`

const CREDITS = { period: 1, used: 2, reserved: 0, recorded: 2, version: 3 }

t.test('files of rows', (t) => {
  t.test('what is no row of that file counts as nothing', async (t) => {
    const path = join(t.testdir({}), 'rows-w')
    const wrong = [
      line('1'),
      line(-1),
      line(999),
      line(2000),
      line(1e300),
      line(1001, { ...usageRow(), at: '2026-01-01' }),
      line(1001, { ...usageRow(), credits: { sum: 1 } }),
      line(1001, { ...usageRow(), model: ['x'] }),
      line(1001, { ...usageRow(), firstMs: 'soon' }),
      line(1001, {}),
      line(1001, usageRow(), { period: 'day' }),
      line(1001, usageRow(), { ...CREDITS, used: 0.5 }),
      line(1001, usageRow(), null),
      line(1000),
      '[]\n\0\0\0\nnull\n{"seq":1002,"row":{"at"'
    ]
    writeFileSync(`${path}-1`, line(1000) + wrong.join('') + '\n' + line(1002, undefined, CREDITS))
    t.same(
      readRows(path, 1).map(({ seq }) => seq),
      [1000, 1002]
    )
  })

  t.test(
    'a pipe is not waited for, a link not followed, a folder or what is too large not read',
    async (t) => {
      const folder = t.testdir({ other: line(0) })
      const path = join(folder, 'rows-w')
      if (process.platform !== 'win32') execFileSync('mkfifo', [`${path}-0`])
      symlinkSync(join(folder, 'other'), `${path}-1`)
      mkdirSync(`${path}-2`)
      writeFileSync(`${path}-3`, line(3000))
      truncateSync(`${path}-3`, 1e9)
      writeFileSync(`${path}-x`, '')
      for (const number of rowFilesOf(path)) {
        t.same(readRows(path, number), [])
        t.same(await readMarks(`${path}-${number}`), [])
      }
      t.same(rowFilesOf(path), [0, 1, 2, 3])
    }
  )

  t.test('the first line says who writes, however much follows', async (t) => {
    const path = join(t.testdir({}), 'rows-w-0')
    const mark = markOf(process.pid)
    writeFileSync(path, `${JSON.stringify({ processes: [mark] })}\n${line(0).repeat(1000)}`)
    t.same(await readMarks(path), [mark])
  })
  t.end()
})
