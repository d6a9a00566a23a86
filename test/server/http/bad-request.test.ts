import t from 'tap'
import { describeBadRequest } from '../../../src/server/http/app-errors.ts'

t.test('the log says why bytes are no request, in the words of the answer', async (t) => {
  for (const code of ['HPE_HEADER_OVERFLOW', 'ERR_HTTP_REQUEST_TIMEOUT', 'HPE_INVALID_METHOD']) {
    const notes: { code: string; [fact: string]: unknown }[] = []
    const cause = Object.assign(new Error('Parse Error'), { code })
    const answer = describeBadRequest({ note: (fact) => void notes.push(fact) }, cause)
    const { error } = JSON.parse(answer.slice(answer.indexOf('\r\n\r\n')))
    t.match(notes, [{ reason: error.message, detail: code }])
  }
})
