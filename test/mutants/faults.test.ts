import t from 'tap'
import { loadedBy, type Unit, unitsOf } from './faults.ts'

const SOURCE = `
import type { A } from './a.ts'
import { b } from './b.ts'

/** Bytes. */
const LIMIT = 10

export class Queue {
  #size = 0

  /** Adds one. */
  async add(one: A): Promise<boolean> {
    if (this.#size >= LIMIT) return false // it is full
    this.#size = this.#size + 1
    await b('added ' + one)
    return true
  }
}
`

/** The source with each fault of a unit, one at a time: the lines that differ. */
function changedLines(source: string, unit: Unit): readonly string[] {
  const lines = new Set(source.split('\n'))
  return unit.faults.map(({ start, end, to }) => {
    const changed = source.slice(0, unit.start + start) + to + source.slice(unit.start + end)
    const [line = ''] = changed.split('\n').filter((one) => !lines.has(one))
    return line.trim()
  })
}

function keys(source: string): readonly string[] {
  return unitsOf(source).map(({ key }) => key)
}

t.test('unitsOf()', async (t) => {
  t.test('finds constants, functions and members of classes', async (t) => {
    const names = unitsOf(SOURCE).map(({ name }) => name)
    t.same(names, ['LIMIT', 'Queue.#size', 'Queue.add'])
  })

  t.test('puts one fault into one place', async (t) => {
    const lines = unitsOf(SOURCE).flatMap((unit) => changedLines(SOURCE, unit))
    t.same(lines, [
      'const LIMIT = 11',
      '#size = 1',
      'if (!(this.#size >= LIMIT)) return false // it is full',
      'if (this.#size > LIMIT) return false // it is full',
      'if (this.#size >= LIMIT) return true // it is full',
      'void 0',
      'this.#size = this.#size - 1',
      'this.#size = this.#size + 2',
      'void 0',
      "b('added ' + one)",
      'return false'
    ])
  })

  t.test('knows code again that has moved and has other comments', async (t) => {
    const moved = SOURCE.replace('// it is full', '').replace('/** Adds one. */', '/** Joins. */')
    t.same(keys(`const first = 1\n${moved}`).slice(1), keys(SOURCE))
    t.notSame(keys(SOURCE.replace('>=', '>')), keys(SOURCE))
  })
})

t.test('loadedBy() leaves out what is only a type', async (t) => {
  t.same(loadedBy(SOURCE), ['./b.ts'])
  t.same(loadedBy("import { type A } from './a.ts'"), [])
  t.same(loadedBy("const a = await import('./a.ts')\nexport * from './b.ts'"), ['./a.ts', './b.ts'])
})
