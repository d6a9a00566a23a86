import { createServer } from 'node:http'
import { serverUrl } from '../../helper/server-url.ts'
import type { AbuseRow, Preparation } from '../row.ts'

const PageBytes = 4_000_000
const Usages = 40
/** What each small call is answered with, in turn: more text, and more values, than any answer has. */
const Answers = [
  JSON.stringify({
    models: Array.from({ length: 1000 }, (_, index) => ({
      modelId: `model-${index}`,
      description: 'x'.repeat(PageBytes / 1000)
    })),
    nextToken: 'more'
  }),
  `{"models":[${'[],'.repeat(PageBytes / 3)}[]]}`,
  `{"usageBreakdownList":[{"resourceType":"${'x'.repeat(60_000)}","bonuses":[${'{"status":"ACTIVE"},'.repeat(9000)}{}]}]}`
]

/** The list of models, usage and profiles are another program's words: none may end the process that reads them. */
export const row: AbuseRow = {
  name: 'heavy-answers',
  what: `an upstream whose list of models, and ${Usages} answers about usage, are of ${PageBytes / 1e6} MB, of a million brackets, or one long name a thousand times`,
  prepare: startHost,
  async attack({ url, key, gateway }) {
    let answered = 0
    for (let count = 0; count < Usages; count++) {
      const response = await fetch(`${url}/v1/usage`, {
        headers: { authorization: `Bearer ${key}` }
      })
      await response.arrayBuffer()
      answered++
    }
    if (gateway.child.exitCode !== null) throw new Error('the primary has ended')
    return `${answered} answers about usage`
  }
}

async function startHost(): Promise<Preparation> {
  let asked = 0
  const server = createServer((request, response) => {
    request.resume()
    response.setHeader('content-type', 'application/json')
    response.end(Answers[asked++ % Answers.length])
  })
  const { origin } = await serverUrl(server)
  return {
    settings: { KIRO_MANAGEMENT_URL: origin },
    close: () => {
      server.close()
      server.closeAllConnections()
    }
  }
}
