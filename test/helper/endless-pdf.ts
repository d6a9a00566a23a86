import { deflateSync } from 'node:zlib'
import { packedPdf } from './packed-pdf.ts'

/** A PDF of some kilobytes whose one page names the same long stream a hundred times; reading it takes half a minute. */
export function endlessPdf(): Buffer {
  const bytes = deflateSync(Buffer.from('BT ET '.repeat(100_000)), { level: 9 })
  return packedPdf({ dictionary: '/Filter/FlateDecode', bytes, times: 100 })
}
