import t from 'tap'
import { resolvePointer, splitPointer, toPointer } from '../../src/shared/json.ts'
import * as fc from '../helper/fast-check.ts'

t.test('toPointer()', async (t) => {
  for (const [path, pointer] of [
    ['', ''],
    ['body', ''],
    ['model', '/model'],
    ['messages[0].content[12].source', '/messages/0/content/12/source'],
    ['system[0][1]', '/system/0/1'],
    ['/already/a~1pointer', '/already/a~1pointer']
  ] as const) {
    t.equal(toPointer(path), pointer, path)
  }
  t.equal(toPointer('tools[0]', ['a/b', 'c~d', '', '[0]']), '/tools/0/a~1b/c~0d//[0]')
  t.equal(toPointer('', ['a']), '/a')
})

t.test('resolvePointer()', async (t) => {
  const body = { a: [{ 'b/c': 1 }, null], '': { '~': 2 } }
  t.equal(resolvePointer(body, ''), body)
  t.equal(resolvePointer(body, '/a/0/b~1c'), 1)
  t.equal(resolvePointer(body, '/a/1'), null)
  t.equal(resolvePointer(body, '//~0'), 2)
  for (const nowhere of ['/b', '/a/2', '/a/length', '/a/0/b/c', '/constructor', '/a/1/x']) {
    t.equal(resolvePointer(body, nowhere), undefined, nowhere)
  }

  t.test('leads to what toPointer() was made of, whatever its name', async () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: fc.codePoint }), { maxLength: 4 }), (names) => {
        const pointer = toPointer('', names)
        if (JSON.stringify(splitPointer(pointer)) !== JSON.stringify(names)) return false
        const build = (rest: readonly string[]): unknown =>
          rest.length === 0 ? 'here' : new Map([[rest[0], build(rest.slice(1))]])
        const body = toObject(build(names))
        return resolvePointer(body, pointer) === 'here'
      })
    )
  })
})

/** Objects of maps, whose members may have any name. */
function toObject(value: unknown): unknown {
  if (!(value instanceof Map)) return value
  return Object.fromEntries([...value].map(([name, inner]) => [name, toObject(inner)]))
}
