import OpenAI from 'openai'
import type { ResponsesServerEvent } from 'openai/resources/responses/responses'
import { ResponsesWS } from 'openai/resources/responses/ws'
import t from 'tap'
import { CountingUpstream } from '../../helper/counting-upstream.ts'
import { FakePrimary } from '../../helper/fake-primary.ts'
import { endFrame, textFrame } from '../../helper/upstream-frames.ts'

t.test(
  "the OpenAI SDK's client goes on, hears errors, and comes back after a restart",
  async (t) => {
    const upstream = await CountingUpstream.start(t, (request, response) => {
      request.resume()
      response.write(textFrame('hello'))
      response.end(endFrame)
    })
    const { url, worker } = await FakePrimary.start(t, upstream.url)
    const client = new OpenAI({ apiKey: 'good-key', baseURL: `${url}/v1` })
    const codes: number[] = []
    const socket = new ResponsesWS(client, {
      reconnect: {
        maxRetries: 1,
        onReconnecting: ({ closeCode }) => {
          codes.push(closeCode)
          return { abort: true }
        }
      }
    })
    t.teardown(() => socket.close())
    const ended = Promise.withResolvers<void>()
    socket.on('close', () => ended.resolve())
    const errors: string[] = []
    socket.on('error', ({ message }) => errors.push(message))
    const store = false
    const ask = (previous_response_id: string | null): Promise<ResponsesServerEvent> => {
      const { promise, resolve } = Promise.withResolvers<ResponsesServerEvent>()
      const onEvent = (event: ResponsesServerEvent): void => {
        if (event.type !== 'response.completed' && event.type !== 'error') return
        socket.off('event', onEvent)
        resolve(event)
      }
      socket.on('event', onEvent)
      const asked = { model: 'auto', input: 'hi', store, previous_response_id }
      socket.send({ type: 'response.create', ...asked })
      return promise
    }
    const first = await ask(null)
    t.match(first, { type: 'response.completed', response: { output: [{ type: 'message' }] } })
    const id = first.type === 'response.completed' ? first.response.id : ''
    t.match(await ask(id), { type: 'response.completed' })
    t.match(await ask(id), { type: 'error', status: 400 })
    t.match(errors, [/Previous response with id/])
    worker.drain()
    await ended.promise
    t.same(codes, [1012])
  }
)
