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

function bodyWith(pdf: Buffer = Buffer.alloc(0)): Uint8Array<ArrayBuffer> {
  const source = { type: 'base64', media_type: 'application/pdf', data: pdf.toString('base64') }
  const messages = [{ role: 'user', content: [{ type: 'document', source }] }]
  const body = { model: 'claude-sonnet-4.5', max_tokens: 9, messages }
  return new TextEncoder().encode(JSON.stringify(body))
}
