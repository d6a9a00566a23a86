import { deflateSync } from 'node:zlib'

/** How the one page of a PDF is packed. */
export interface PackedPage {
  /** Entries of the page's stream dictionary beside its length. */
  readonly dictionary: string
  readonly bytes: Buffer
  /** How often the page names its stream; each time is unpacked again. */
  readonly times?: number
}

/** A PDF of one page with these bytes, whatever they unpack to. */
export function packedPdf({ dictionary, bytes, times = 1 }: PackedPage): Buffer {
  const contents = `[${'4 0 R '.repeat(times)}]`
  return pdfOf([
    '<</Type/Catalog/Pages 2 0 R>>',
    '<</Type/Pages/Kids[3 0 R]/Count 1>>',
    `<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents ${contents}/Resources<<>>>>`,
    streamOf(dictionary, bytes)
  ])
}

/** A PDF of these objects, whose numbers count from 1; the first is its catalogue. */
export function pdfOf(objects: readonly (string | Buffer)[]): Buffer {
  const parts: Buffer[] = [Buffer.from('%PDF-1.4\n')]
  const offsets: number[] = []
  let length = parts[0]?.length ?? 0
  const add = (...more: readonly (string | Buffer)[]): void => {
    for (const part of more.map((one) => Buffer.from(one))) {
      length += part.length
      parts.push(part)
    }
  }
  objects.forEach((object, index) => {
    offsets.push(length)
    add(`${index + 1} 0 obj\n`, object, '\nendobj\n')
  })
  const table = offsets.map((offset) => `${String(offset).padStart(10, '0')} 00000 n \n`).join('')
  const size = objects.length + 1
  const trailer = `trailer\n<</Size ${size}/Root 1 0 R>>\nstartxref\n${length}\n%%EOF`
  add(`xref\n0 ${size}\n0000000000 65535 f \n${table}${trailer}`)
  return Buffer.concat(parts)
}

/** A stream object with these entries in its dictionary. */
export function streamOf(dictionary: string, bytes: Buffer): Buffer {
  const head = Buffer.from(`<</Length ${bytes.length}${dictionary}>>stream\n`)
  return Buffer.concat([head, bytes, Buffer.from('\nendstream')])
}

/** One whose page is so many megabytes of blanks, packed once. */
export function blankPdf(megabytes: number): Buffer {
  const bytes = deflateSync(Buffer.alloc(megabytes * 2 ** 20, ' '), { level: 9 })
  return packedPdf({ dictionary: '/Filter/FlateDecode', bytes })
}

/** One that unpacks in two steps, so that only who reads it finds out how large it is. */
export function twicePackedPdf(megabytes: number): Buffer {
  const once = deflateSync(Buffer.alloc(megabytes * 2 ** 20, ' '), { level: 9 })
  return packedPdf({
    dictionary: '/Filter[/FlateDecode/FlateDecode]',
    bytes: deflateSync(once, { level: 9 })
  })
}
