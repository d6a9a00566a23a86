import { createHash } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { RequestForm } from '../kiro/wire/hosts.ts'
import type { JsonAnswer } from './control-plane.ts'
import type { SimulatedModel } from './models.ts'
import type { Signer } from './reasoning.ts'
import type { Refusal } from './refusal.ts'
import type { RequestView } from './request-view.ts'

/** A request for a new token, by the name of its operation. */
export type Renewal = 'refreshToken' | 'createToken'

/** Parts that tests add to the simulator: counts, and a memory of what was signed, issued and sent before. */
export interface Equipment {
  onConnection(socket: Socket): void
  /** Answers a request of its own, such as for statistics; false for all others. */
  serve(request: IncomingMessage, response: ServerResponse, path: string): boolean
  /** Hears of a request. Returns what is to be called when its response is closed. */
  begin(socket: Socket, operation: string): () => void
  /** Refuses an operation that is written in either form. Asked as the request arrives. */
  refuse(isGeneration: boolean, form: RequestForm): Refusal | null
  /** Hears the body of each request. Returns true for a request that it answers itself. */
  onBody(text: string, request: IncomingMessage, response: ServerResponse): boolean
  renew(operation: Renewal, body: string): JsonAnswer
  isExpired(token: string): boolean
  signerFor(view: RequestView, token: string): Signer
  /** Refuses reasoning that was not signed like this. */
  checkReplay(view: RequestView, modelId: string, token: string): Refusal | null
  /** Tokens of a prompt that are known from earlier ones. */
  cachedTokens(view: RequestView, model: SimulatedModel, inputTokens: number): number
}

/** The gateway's own simulator, whose token needs no renewal. */
export const NO_EQUIPMENT: Equipment = {
  onConnection: () => {},
  serve: () => false,
  begin: () => () => {},
  refuse: () => null,
  onBody: () => false,
  renew: () => ({ status: 400, json: { message: 'Nothing is renewed here.' } }),
  isExpired: () => false,
  signerFor: () => (text) => createHash('sha512').update(text).digest('base64'),
  checkReplay: () => null,
  cachedTokens: () => 0
}
