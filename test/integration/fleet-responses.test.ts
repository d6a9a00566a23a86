import OpenAI from 'openai'
import t from 'tap'
import { whyNoEngine } from '../helper/engine-process.ts'
import { FleetTeam, until } from '../helper/fleet-team.ts'

t.setTimeout(600_000)

const skip = whyNoEngine()
const KEYS = 'first-key-of-the-operator,second-key-of-the-operator'
const [FIRST = '', SECOND = ''] = KEYS.split(',')
const model = 'claude-haiku-4.5'

t.test('stored responses and compactions are those of the whole fleet', { skip }, async (t) => {
  const env = { PROXY_API_KEY: KEYS }
  const team = await FleetTeam.start(t, { names: ['a', 'b'], max: 10, env })
  await team.allServe()
  const clientOf = (name: string, apiKey = FIRST): OpenAI =>
    new OpenAI({ apiKey, baseURL: `${team.get(name).url}/v1`, maxRetries: 0 })
  const [a, b, stranger] = [clientOf('a'), clientOf('b'), clientOf('b', SECOND)]

  t.test('a response is read and gone on from at the other replica', async (t) => {
    const made = await a.responses.create({ model, input: 'one sim:gap=0' })
    t.same(await b.responses.retrieve(made.id), made)
    t.match(await b.responses.inputItems.list(made.id), { data: [{ role: 'user' }] })
    const second = await b.responses.create({
      model,
      input: 'two sim:gap=0',
      previous_response_id: made.id
    })
    const third = await a.responses.create({
      model,
      input: 'three sim:gap=0',
      previous_response_id: second.id
    })
    t.equal(third.status, 'completed', 'of a chain that both have made')
    t.match(await refusal(stranger.responses.retrieve(made.id)), { status: 404 })
    t.match(await refusal(stranger.responses.delete(made.id)), { status: 404 })
    t.equal((await a.responses.retrieve(made.id)).id, made.id)
  })

  t.test('a deletion at one replica is one at all, of either that has it', async (t) => {
    const { id } = await a.responses.create({ model, input: 'to go sim:gap=0' })
    await b.responses.retrieve(id)
    await b.responses.delete(id)
    t.match(await refusal(b.responses.retrieve(id)), { status: 404 })
    t.match(await refusal(b.responses.delete(id)), { status: 404 }, 'there is none any more')
    await gone(a.responses, id)
    // Its input has a file of its own, which goes a moment later.
    await until(async () => (await refusal(a.responses.inputItems.list(id))) !== null)
    t.match(await refusal(a.responses.inputItems.list(id)), { status: 404 })
    const next = { model, input: 'on', previous_response_id: id }
    for (const client of [a, b]) {
      t.match(await refusal(client.responses.create(next)), { status: 400 })
    }
    const other = await a.responses.create({ model, input: 'to go sim:gap=0' })
    await b.responses.retrieve(other.id)
    await a.responses.delete(other.id)
    await gone(b.responses, other.id)
  })

  t.test('a compaction opens at the other replica, for its key alone', async (t) => {
    const { output } = await a.responses.compact({ model, input: 'sum this up' })
    const input = [...output, { role: 'user', content: 'on' }] as OpenAI.Responses.ResponseInput
    t.equal((await b.responses.create({ model, input })).status, 'completed')
    const foreign = stranger.responses.create({ model, input })
    t.match(await refusal(foreign), { status: 400, param: 'input[0].encrypted_content' })
  })
})

async function gone(responses: OpenAI['responses'], id: string): Promise<void> {
  await until(async () => (await refusal(responses.retrieve(id))) !== null)
}

/** The error that a call is refused with. */
function refusal(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    () => null,
    (error: unknown) => error
  )
}
