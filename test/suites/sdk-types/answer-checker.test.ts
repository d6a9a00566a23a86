import { createServer } from 'node:http'
import t from 'tap'
import { serverUrl } from '../../helper/server-url.ts'
import { AnswerChecker } from './answer-checker.ts'
import { TypeChecker } from './check-type.ts'

const text = { type: 'object', properties: { text: { type: 'string' } }, required: ['text'] }
const error = { type: 'object', properties: { error: { type: 'string' } }, required: ['error'] }
const types = new TypeChecker({
  definitions: { AnswerTypes: { type: 'object', properties: { whole: text, event: text, error } } }
})

/** A server that answers as the path says: `/200/json/BODY`. */
const server = createServer((request, response) => {
  const [, status = '', kind = '', body = ''] = (request.url ?? '').split('/')
  const type = kind === 'json' ? 'application/json' : 'text/event-stream'
  response.writeHead(Number(status), { 'content-type': type }).end(decodeURIComponent(body))
})
const { origin } = await serverUrl(server)
t.teardown(() => server.close())

const kindOf = () => ({ whole: 'whole', event: 'event', error: 'error' })

async function problemOf(path: string, body: string): Promise<string | null> {
  const checker = new AnswerChecker({ types, kindOf, allowed: [/^allowed/] })
  const action = () => checker.fetch(`${origin}${path}/${encodeURIComponent(body)}`)
  const { problem } = await checker.attempt('a test', action)
  return problem
}

t.test('checks whole answers, errors and each event of a stream', async (t) => {
  t.equal(await problemOf('/200/json', '{"text":"a"}'), null)
  t.equal(await problemOf('/200/json', '{}'), 'text: is missing')
  t.equal(await problemOf('/400/json', '{}'), 'error: is missing')
  t.equal(await problemOf('/200/sse', 'data: {"text":"a"}\n\ndata: [DONE]\n\n'), null)
  t.equal(
    await problemOf('/200/sse', 'data: {"text":1}\n\ndata: {"type":"end"}\n\n'),
    'chunk text: is 1, not of type string; end text: is missing'
  )
})

t.test('an error inside a stream has the shape of an error', async (t) => {
  t.equal(await problemOf('/200/sse', 'data: {"error":"broken"}\n\n'), null)
})

t.test('a call that fails is the result of its test', async (t) => {
  const checker = new AnswerChecker({ types, kindOf, allowed: [] })
  const { problem } = await checker.attempt('a test', () => Promise.reject(new Error('refused')))
  t.equal(problem, 'Error: refused')
})
