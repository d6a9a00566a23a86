import { deflateSync } from 'node:zlib'
import { pdfOf, streamOf } from './packed-pdf.ts'

const FORM = '/Type/XObject/Subtype/Form/BBox[0 0 9 9]'
/** The page draws a form that draws another thirty times, and so on: nearly a million times the last of them. */
const LEVELS = 5
const TIMES = 30
/** Of the last one, so that it takes milliseconds. Without a word it would be read once. */
const WORK = `BT /F 9 Tf (a) Tj ET ${'q Q '.repeat(20_000)}`

/** A small PDF that takes hours to read, and little memory. */
export function endlessPdf(): Buffer {
  const first = 5
  const form = (level: number): Buffer => {
    const next = `/Resources<</XObject<</X ${first + level + 1} 0 R>>>>`
    return streamOf(`${FORM}${next}`, Buffer.from('/X Do '.repeat(TIMES)))
  }
  const font = '/Resources<</Font<</F 4 0 R>>>>'
  const last = deflateSync(Buffer.from(WORK), { level: 9 })
  return pdfOf([
    '<</Type/Catalog/Pages 2 0 R>>',
    '<</Type/Pages/Kids[3 0 R]/Count 1>>',
    `<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents ${first} 0 R/Resources<</XObject<</X ${first} 0 R>>>>>>`,
    '<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>',
    ...Array.from({ length: LEVELS - 1 }, (_, level) => form(level)),
    streamOf(`${FORM}${font}/Filter/FlateDecode`, last)
  ])
}
