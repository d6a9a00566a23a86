import { createHash } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { RequestForm } from '../kiro/wire/hosts.ts'
import type { JsonAnswer } from './control-plane.ts'
import type { SimulatedModel } from './models.ts'
import type { Signer } from './reasoning.ts'
import type { Refusal } from './refusal.ts'
import type { RequestView } from './request-view.ts'

export type Renewal = 'refreshToken' | 'createToken'

/** Tests' additions: counts, and a memory of what was signed, issued and sent. */
export interface Equipment {
  onConnection(socket: Socket): void
  serve(request: IncomingMessage, response: ServerResponse, path: string): boolean
  begin(socket: Socket, operation: string): () => void
  refuse(isGeneration: boolean, form: RequestForm): Refusal | null
  onBody(text: string, request: IncomingMessage, response: ServerResponse): boolean
  renew(operation: Renewal, body: string): JsonAnswer
  isExpired(token: string): boolean
  signerFor(view: RequestView, token: string): Signer
  checkReplay(view: RequestView, modelId: string, token: string): Refusal | null
  cachedTokens(view: RequestView, model: SimulatedModel, inputTokens: number): number
}

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
