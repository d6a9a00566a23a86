import t from 'tap'
import { readPdfText } from '../../../src/dialects/request/pdf.ts'
import { smallPdf } from '../../helper/small-pdf.ts'

t.test('readPdfText()', async (t) => {
  t.test('gives the text page by page', async (t) => {
    const pdf = smallPdf(['Hello from page one', 'and two'])
    t.same(await readPdfText(pdf), {
      kind: 'text',
      text: '[Page 1]\nHello from page one\n\n[Page 2]\nand two'
    })
  })

  for (const [name, bytes, reason] of [
    ['without text', smallPdf(['', '']), /no text/],
    ['that is none', Buffer.from('hello'), /not a valid PDF/],
    ['that is empty', Buffer.alloc(0), /not a valid PDF/],
    ['that is cut', smallPdf(['Hello']).subarray(0, 60), /not a valid PDF|no text/]
  ] as const) {
    t.test(`says what is wrong with one ${name}`, async (t) => {
      t.match(await readPdfText(bytes), { kind: 'failed', reason })
    })
  }

  t.test('leaves out what fits into no window, and says so', async (t) => {
    const pdf = smallPdf(Array.from({ length: 5 }, () => 'x'.repeat(50)))
    const content = await readPdfText(pdf, { maxChars: 150 })
    t.match(content, { kind: 'text', text: /from page 4 of 5 on, is left out/ })
  })
})
