import t from 'tap'
import { toToolParts } from '../../helper/read-answer.ts'

function pieces(json: string): readonly string[] {
  return toToolParts({ id: '1', name: 'f', json }).flatMap((part) =>
    part.type === 'tool-delta' ? [part.json] : []
  )
}

t.test('a small call is a start, one delta and an end', async (t) => {
  t.same(toToolParts({ id: '1', name: 'f', json: '{}' }), [
    { type: 'tool-start', id: '1', name: 'f' },
    { type: 'tool-delta', json: '{}' },
    { type: 'tool-end' }
  ])
})

for (const [length, sizes] of [
  [1023, [1023]],
  [1024, [1024]],
  [1025, [1024, 1]],
  [2048, [1024, 1024]]
] as const) {
  t.test(`arguments of ${length} characters are ${sizes.length} pieces`, async (t) => {
    const json = 'x'.repeat(length)
    t.same(
      pieces(json).map((piece) => piece.length),
      sizes
    )
    t.equal(pieces(json).join(''), json)
  })
}

t.test('no cut tears a character apart, wherever it falls', async (t) => {
  for (const shift of [0, 1]) {
    const json = 'x'.repeat(shift) + '😀'.repeat(2000)
    const cut = pieces(json)
    t.equal(cut.join(''), json)
    t.ok(cut.every((piece) => piece.isWellFormed() && piece.length <= 1024))
  }
})
