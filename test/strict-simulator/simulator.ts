import type { IncomingMessage, ServerResponse } from 'node:http'
import type { RequestForm } from '../../src/kiro/wire/hosts.ts'
import type { Equipment } from '../../src/simulator/equipment.ts'
import { FAULTS } from '../../src/simulator/refusal.ts'
import { answerJson } from '../../src/simulator/request-handler.ts'
import {
  Simulator as PlainSimulator,
  type SimulatorOptions as PlainOptions
} from '../../src/simulator/simulator.ts'
import { ConnectionCensus, type SimulatorStats } from './connection-census.ts'
import { alterAnswer, judgeOdd } from './odd-answers.ts'
import { PromptCache } from './prompt-cache.ts'
import { type RateLimit, type RateStats, RequestRate } from './request-rate.ts'
import { accountOf, checkReplay, signerFor } from './signatures.ts'
import { createToken, refreshDesktop, TokenIssuer } from './token-issuer.ts'

export interface SimulatorOptions extends Omit<PlainOptions, 'equipment'> {
  /** A form of request to refuse. */
  readonly refusedForm?: RequestForm
  /** Requests that it takes in a time; more are refused with 429. */
  readonly rate?: RateLimit
  /** Seconds after which an access token that it issued is refused. */
  readonly tokenLifetimeS?: number
  /** Hears the body of each request. */
  readonly onBody?: (text: string) => void
  /** Answers a request in its place; false for all others. */
  readonly answers?: (text: string, request: IncomingMessage, response: ServerResponse) => boolean
}

const DEFAULT_TOKEN_LIFETIME_S = 3_600
const STATS_PATH = '/__simulator/stats'
const RESET_PATH = '/__simulator/reset-stats'

/** The simulator as tests use it: it counts, and remembers what it has signed, issued and been sent. */
export class Simulator extends PlainSimulator {
  readonly #census: ConnectionCensus
  readonly #rate: RequestRate

  constructor(options: SimulatorOptions = {}) {
    const now = options.now ?? Date.now
    const census = new ConnectionCensus()
    const rate = new RequestRate(options.rate ?? null, now)
    super({ ...options, equipment: strictEquipment(options, { census, rate, now }) })
    this.#census = census
    this.#rate = rate
  }

  stats(): SimulatorStats & { readonly rate?: RateStats } {
    return { ...this.#census.stats(), ...this.#rate.stats() }
  }

  resetStats(): void {
    this.#census.reset()
    this.#rate.reset()
  }
}

interface StrictParts {
  readonly census: ConnectionCensus
  readonly rate: RequestRate
  readonly now: () => number
}

function strictEquipment(options: SimulatorOptions, { census, rate, now }: StrictParts): Equipment {
  const { refusedForm, tokenLifetimeS = DEFAULT_TOKEN_LIFETIME_S } = options
  const issuer = new TokenIssuer(tokenLifetimeS, now)
  const cache = new PromptCache()
  return {
    onConnection: (socket) => census.accept(socket),
    serve(request, response, path) {
      if (path !== STATS_PATH && path !== RESET_PATH) return false
      census.exclude(request.socket)
      if (path === RESET_PATH) {
        census.reset()
        rate.reset()
      }
      answerJson(response, 200, { ...census.stats(), ...rate.stats() })
      return true
    },
    begin(socket, operation) {
      census.begin(socket, operation)
      return () => census.end(socket)
    },
    refuse(isGeneration, form) {
      const refusal = rate.take()
      if (refusal !== null || form !== refusedForm) return refusal
      return FAULTS[isGeneration ? 'wrong-form' : 'unknown-operation']
    },
    onBody(text, request, response) {
      options.onBody?.(text)
      return options.answers?.(text, request, response) ?? false
    },
    renew(operation, body) {
      const answer =
        operation === 'refreshToken' ? refreshDesktop(body, issuer) : createToken(body, issuer)
      if (answer.status === 200) census.countRefresh()
      return answer
    },
    isExpired: (token) => issuer.isExpired(token),
    signerFor: (view, token) => signerFor(view, accountOf(token)),
    judge: (view, { modelId, token, words }) =>
      judgeOdd(view, words.others) ?? checkReplay(view, modelId, accountOf(token)),
    alter: alterAnswer,
    cachedTokens: (view, model, inputTokens) => cache.read(view, model, inputTokens)
  }
}
