import type { ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { CountingUpstream } from './counting-upstream.ts'
import { ownersIn, wordsOf } from './own-words.ts'
import { endFrame, eventFrame, textFrame } from './upstream-frames.ts'

/** How it answers what has `reply:NAME` in it. All but `silent` repeat what they were asked. */
export const REPLIES = ['text', 'tool', 'slow', 'refusal', 'broken', 'silent'] as const

/** The people whose words are in a text: `owner=anna-7;` is Anna's. */
export function peopleIn(text: string | Buffer): readonly string[] {
  return [...new Set(Array.from(ownersIn(text), (owner) => owner.split('-')[0] ?? ''))]
}

/** Repeats what it is asked, and looks at whose words that is. */
export async function startEchoUpstream(
  t: { teardown(close: () => unknown): void },
  mixed: string[]
): Promise<string> {
  const { url } = await CountingUpstream.start(t, (request, response) => {
    const chunks: Buffer[] = []
    request.on('error', () => {}) // the gateway has left
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const text = Buffer.concat(chunks).toString()
      const people = peopleIn(text)
      if (people.length > 1) mixed.push(`one request has words of ${people.join(' and ')}`)
      if (people.length === 0) response.writeHead(404).end()
      else void reply(response, text)
    })
  })
  return url.origin
}

async function reply(response: ServerResponse, text: string): Promise<void> {
  const [, name = ''] = /reply:(\w+)/.exec(text) ?? []
  const [owner = ''] = ownersIn(text)
  const words = wordsOf(owner, 300)
  const head = (): unknown =>
    response.writeHead(200, { 'content-type': 'application/vnd.amazon.eventstream' })
  switch (name) {
    case 'refusal':
      response.writeHead(400, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ message: `Improperly formed request: ${words}` }))
      break
    case 'silent':
      await delay(200)
      response.destroy()
      break
    case 'tool':
      head()
      response.write(eventFrame('toolUseEvent', { toolUseId: 'tool-1', name: 'look', input: '' }))
      response.write(
        eventFrame('toolUseEvent', {
          toolUseId: 'tool-1',
          name: 'look',
          input: JSON.stringify({ words })
        })
      )
      response.write(eventFrame('toolUseEvent', { toolUseId: 'tool-1', name: 'look', stop: true }))
      response.end(endFrame)
      break
    default:
      head()
      response.write(textFrame(words))
      if (name === 'slow') await delay(100)
      if (name === 'broken') response.destroy()
      else response.end(Buffer.concat([textFrame(words), endFrame]))
  }
}
