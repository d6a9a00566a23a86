import { deflateSync } from 'node:zlib'
import t from 'tap'
import { readPdfText, unpacksToTooMuch } from '../../../src/dialects/request/pdf.ts'
import { blankPdf, packedPdf } from '../../helper/packed-pdf.ts'

const MEBIBYTE = 2 ** 20

function isTooMuch(pdf: Uint8Array): boolean {
  return unpacksToTooMuch(pdf, Infinity)
}

t.test('unpacksToTooMuch()', async (t) => {
  t.test('takes a stream of 16 MiB, and no byte more', async (t) => {
    t.notOk(isTooMuch(blankPdf(16)))
    const bytes = deflateSync(Buffer.alloc(16 * MEBIBYTE + 1, ' '))
    t.ok(isTooMuch(packedPdf({ dictionary: '/Filter/FlateDecode', bytes })))
  })

  t.test('takes 64 MiB in all', async (t) => {
    const part = blankPdf(16)
    t.notOk(isTooMuch(Buffer.concat([part, part, part, part])))
    t.ok(isTooMuch(Buffer.concat([part, part, part, part, blankPdf(1)])))
  })

  t.test('does not count pictures, which no text is read from', async (t) => {
    const bytes = deflateSync(Buffer.alloc(20 * MEBIBYTE))
    const dictionary = '/Filter/FlateDecode/Type/XObject/Subtype /Image'
    t.notOk(isTooMuch(packedPdf({ dictionary, bytes })))
  })

  t.test('counts what comes before a break or a false checksum', async (t) => {
    const bytes = deflateSync(Buffer.alloc(20 * MEBIBYTE, ' ')).subarray(0, -6)
    t.ok(isTooMuch(packedPdf({ dictionary: '/Filter/FlateDecode', bytes })))
  })

  t.test('looks no longer than it may', async (t) => {
    const many = Buffer.from('stream\n\x78\x9c'.repeat(200_000), 'latin1')
    t.ok(unpacksToTooMuch(many, performance.now()))
  })

  t.test('takes anything', async (t) => {
    for (const text of [
      '',
      'stream',
      'stream\n',
      'stream\nx',
      'stream\r\n\x78\x9c',
      'streamstream'
    ]) {
      t.notOk(isTooMuch(Buffer.from(text, 'latin1')), JSON.stringify(text))
    }
  })
})

t.test('a PDF that unpacks to 250 MB is refused before it does', async (t) => {
  const pdf = blankPdf(250)
  const before = process.memoryUsage().rss
  t.match(await readPdfText(pdf), { kind: 'failed', reason: /takes too much/ })
  t.ok(process.memoryUsage().rss - before < 100 * MEBIBYTE)
})
