import { UpstreamLimits } from '../../../src/kiro/rules/rules.ts'
import { endlessPdf } from '../../helper/endless-pdf.ts'
import { twicePackedPdf } from '../../helper/packed-pdf.ts'
import { smallPdf } from '../../helper/small-pdf.ts'
import { post, probeLarge, tally, tell } from '../probe.ts'
import type { AbuseRow } from '../row.ts'
import { OtherKey } from '../stand.ts'

const Requests = 6

/** PDFs that take as long, or as much memory, as they can: nobody but those who read PDFs waits for them. */
export const row: AbuseRow = {
  name: 'heavy-pdfs',
  what: `${Requests} requests with a PDF of 4 KB that takes half a minute to read, ${Requests} with one that unpacks to 400 MB`,
  async attack({ url, key }) {
    const pdfs = [endlessPdf(), twicePackedPdf(400)]
    const path = '/v1/messages/count_tokens'
    const attack = Promise.all(
      Array.from({ length: 2 * Requests }, (_, index) =>
        post(url, { path, key, body: bodyWith(pdfs[index % 2] ?? pdfs[0]) })
      )
    )
    const asked = performance.now()
    const good = bodyWith(smallPdf(['a page of text']))
    const others = post(url, { path, key: OtherKey, body: good }).then(
      (status) => `another key's PDF: ${status} after ${(performance.now() - asked).toFixed(0)} ms`
    )
    const probe = await probeLarge(url, attack)
    return `${tally(await attack)}; ${await others}; ${tell(probe, 3000)}`
  }
}

/** As many documents as go up as they are: the PDF before them is read for its text. */
const OTHERS = Array.from({ length: UpstreamLimits.documents }, (_, index) =>
  documentOf('text/plain', Buffer.from(`document ${index}`))
)

function bodyWith(pdf: Buffer = Buffer.alloc(0)): Uint8Array<ArrayBuffer> {
  const content = [documentOf('application/pdf', pdf), ...OTHERS]
  const messages = [{ role: 'user', content }]
  const body = { model: 'claude-haiku-4.5', max_tokens: 9, messages }
  return new TextEncoder().encode(JSON.stringify(body))
}

function documentOf(mediaType: string, bytes: Buffer): object {
  return {
    type: 'document',
    source: { type: 'base64', media_type: mediaType, data: bytes.toString('base64') }
  }
}
