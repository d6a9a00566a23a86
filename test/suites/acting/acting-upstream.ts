import { createServer, type Server } from 'node:http'
import { extractText, getDocumentProxy } from 'unpdf'
import type { UpstreamPayload } from '../../../src/kiro/wire/payload.ts'
import { asJsonObject } from '../../../src/shared/json.ts'
import { type UserTurn, viewRequest } from '../../../src/simulator/request-view.ts'
import { Simulator } from '../../strict-simulator/simulator.ts'
import { forwardGeneration } from '../../helper/altered-generation.ts'
import { serverUrl } from '../../helper/server-url.ts'
import { actOn } from './acting-model.ts'

/**
 * The strict simulator behind a model that acts: suites that were written for real models ask for poems, calculations and
 * JSON, and get them. Everything else, refusals included, is the simulator's.
 */
export class ActingUpstream {
  readonly url: string
  readonly #simulator: Simulator
  readonly #server: Server

  private constructor(url: string, simulator: Simulator, server: Server) {
    this.url = url
    this.#simulator = simulator
    this.#server = server
  }

  static async start(): Promise<ActingUpstream> {
    const simulator = new Simulator({ gapMs: 1 })
    const { url: upstreamUrl } = await simulator.start()
    const server = createServer((incoming, response) => {
      void forwardGeneration({ incoming, response, upstreamUrl, alter: act })
    })
    const url = (await serverUrl(server)).origin
    return new ActingUpstream(url, simulator, server)
  }

  async close(): Promise<void> {
    this.#server.close()
    this.#server.closeAllConnections()
    await this.#simulator.close()
  }
}

/** Adds what the model does to the end of the prompt, where the simulator looks for it. */
async function act(payload: UpstreamPayload): Promise<UpstreamPayload> {
  const view = viewRequest(payload, 'path')
  const words = actOn(view, await textsOf(view.current))
  if (words === null) return payload
  const altered = structuredClone(payload) as { conversationState: AlteredState }
  const message = altered.conversationState.currentMessage.userInputMessage
  message.content = `${message.content}\n\n${words}`
  return altered as unknown as UpstreamPayload
}

interface AlteredState {
  currentMessage: { userInputMessage: { content: string } }
}

async function textsOf({ documents }: UserTurn): Promise<readonly string[]> {
  return Promise.all(documents.map(textOf))
}

async function textOf(document: unknown): Promise<string> {
  const { format, source } = asJsonObject(document) ?? {}
  const bytes = Buffer.from(String(asJsonObject(source)?.['bytes']), 'base64')
  if (format !== 'pdf') return bytes.toString()
  const { text } = await extractText(
    await getDocumentProxy(new Uint8Array(bytes), { verbosity: 0 }),
    {
      mergePages: true
    }
  )
  return text
}
