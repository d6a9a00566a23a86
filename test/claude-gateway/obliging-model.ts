import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Test } from 'tap'
import { CountingUpstream } from '../helper/counting-upstream.ts'
import { endFrame, eventFrame, textFrame } from '../helper/upstream-frames.ts'

/** A word with which a person has the model run the command behind it, in quotation marks. */
const RUN = /RUN<([^<>]+)>/g

/**
 * An upstream whose model answers "answer N", runs commands that it is told to run, and allows every action that
 * Claude Code asks about. Every answer costs a credit.
 */
export class ObligingModel {
  readonly origin: string
  /** Answers, without verdicts. */
  answers = 0
  /** Actions that were asked about. */
  verdicts = 0

  private constructor(counting: CountingUpstream) {
    this.origin = counting.url.origin
    counting.onRequest = (request, response) => void this.#take(request, response)
  }

  static async start(t: Test): Promise<ObligingModel> {
    return new ObligingModel(await CountingUpstream.start(t))
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    if (request.url?.includes('generateAssistantResponse') !== true) {
      response.writeHead(404).end()
      return
    }
    const body = Buffer.concat(chunks).toString()
    const metering = eventFrame('meteringEvent', { unit: 'credit', usage: 1 })
    response.end(Buffer.concat([...this.#say(body), endFrame, metering]))
  }

  #say(body: string): readonly Buffer[] {
    // Its system prompt asks for a verdict in this form.
    if (body.includes('<block>no</block>')) {
      this.verdicts += 1
      return [textFrame('<block>no</block>')]
    }
    this.answers += 1
    const command = [...body.matchAll(RUN)].at(-1)?.[1]
    const isDone = body.includes(`tooluse_${command?.length}`)
    if (command === undefined || isDone) return [textFrame(`answer ${this.answers}`)]
    const call = { toolUseId: `tooluse_${command.length}`, name: 'Bash' }
    const input = JSON.stringify({ command, description: 'does as it is told' })
    return [
      eventFrame('toolUseEvent', { ...call, input }),
      eventFrame('toolUseEvent', { ...call, stop: true })
    ]
  }
}
