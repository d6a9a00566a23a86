import { createHash } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { RequestForm } from '../kiro/wire/hosts.ts'
import type { JsonAnswer } from './control-plane.ts'
import type { SimulatedModel } from './models.ts'
import type { Signer } from './reasoning.ts'
import type { Refusal } from './refusal.ts'
import type { RequestView } from './request-view.ts'
import type { Step } from './script.ts'
import type { FoundWords } from './words.ts'

export type Renewal = 'refreshToken' | 'createToken'

export interface JudgedRequest {
  readonly modelId: string
  readonly token: string
  readonly words: FoundWords
}

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
  /** Refuses an accepted request: for reasoning with a foreign signature, or because its words ask for that. */
  judge(view: RequestView, asked: JudgedRequest): Refusal | null
  /** Changes an answer as its words ask for. */
  alter(steps: Iterable<Step>, words: FoundWords): Iterable<Step>
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
  judge: () => null,
  alter: (steps) => steps,
  cachedTokens: () => 0
}
