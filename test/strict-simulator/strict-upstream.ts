import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { parseJson, parseJsonObject, textMember } from '../../src/shared/json.ts'
import { answerTo, promptOf, type Script } from '../../src/simulator/generation.ts'
import { simulatedModel } from '../../src/simulator/models.ts'
import { EXPIRED, FAULTS, forbidden, type Refusal } from '../../src/simulator/refusal.ts'
import {
  answerJson,
  type Asked,
  commonHeaders,
  type JsonAnswer,
  SimulatedUpstream,
  toAsked
} from '../../src/simulator/request-handler.ts'
import { countRequestTokens } from '../../src/simulator/tokens.ts'
import { StrictAccount } from './account.ts'
import type { ConnectionCensus } from './connection-census.ts'
import {
  checkProfile,
  checkToken,
  type Credential,
  credentialOf,
  withBodyProfile
} from './credentials.ts'
import { alterAnswer, inPieces, judgeOdd, withTruePercentage } from './odd-answers.ts'
import { pageOfModels } from './pages-of-models.ts'
import { PromptCache } from './prompt-cache.ts'
import {
  findOddFault,
  improper,
  type StrictRefusal,
  UNKNOWN_OPERATION,
  WRONG_FORM
} from './refusals.ts'
import type { RequestRate } from './request-rate.ts'
import { checkRequest, checkWeight, checkWindow } from './request-rules.ts'
import { faultOfSearch, searchStrictly } from './search-faults.ts'
import { accountOf, checkReplay, signerFor } from './signatures.ts'
import type { SimulatorOptions } from './simulator.ts'
import { createToken, refreshDesktop, TokenIssuer } from './token-issuer.ts'

const DEFAULT_TOKEN_LIFETIME_S = 3_600
const STATS_PATH = '/__simulator/stats'
const RESET_PATH = '/__simulator/reset-stats'
const TARGET_CONTENT_TYPE = 'application/x-amz-json-1.0'
const HAVE_FORMS: ReadonlySet<string | undefined> = new Set(['generateAssistantResponse', 'mcp'])
const RENEWALS: ReadonlyMap<string, 'refreshToken' | 'createToken'> = new Map([
  ['/refreshToken', 'refreshToken'],
  ['/token', 'createToken']
])

/** Enforces the upstream's rules, counts, and remembers what it has signed, issued and been sent. */
export class StrictUpstream extends SimulatedUpstream {
  declare readonly account: StrictAccount
  readonly #options: SimulatorOptions
  readonly #census: ConnectionCensus
  readonly #rate: RequestRate
  readonly #now: () => number
  readonly #issuer: TokenIssuer
  readonly #cache = new PromptCache()

  constructor(options: SimulatorOptions, census: ConnectionCensus, rate: RequestRate) {
    super(new StrictAccount(options.account), options.gapMs)
    const { tokenLifetimeS = DEFAULT_TOKEN_LIFETIME_S, now = Date.now } = options
    this.#options = options
    this.#census = census
    this.#rate = rate
    this.#now = now
    this.#issuer = new TokenIssuer(tokenLifetimeS, now)
  }

  override async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { url, operation } = toAsked(request)
    if (url.pathname === STATS_PATH || url.pathname === RESET_PATH)
      return this.#tellStats(request, response, url.pathname === RESET_PATH)
    const { socket } = request
    this.#census.begin(socket, operation ?? RENEWALS.get(url.pathname) ?? 'unknown')
    response.once('close', () => this.#census.end(socket))
    await super.handle(request, response)
  }

  #tellStats(request: IncomingMessage, response: ServerResponse, isReset: boolean): void {
    this.#census.exclude(request.socket)
    if (isReset) {
      this.#census.reset()
      this.#rate.reset()
    }
    answerJson(response, 200, { ...this.#census.stats(), ...this.#rate.stats() })
  }

  protected override async serve(
    asked: Asked,
    response: ServerResponse,
    signal: AbortSignal
  ): Promise<Script | null> {
    const { body, request, operation } = asked
    const refusal = HAVE_FORMS.has(operation) ? this.#refuseForm(asked) : null
    this.#options.onBody?.(body)
    if (this.#options.answers?.(body, request, response) === true) return null
    const isSilent = operation === 'mcp' && faultOfSearch(parseJsonObject(body) ?? {}) === 'stall'
    if (refusal !== null) this.refuse(response, refusal)
    else if (!isSilent) return super.serve(asked, response, signal)
    else if (!signal.aborted) await once(signal, 'abort')
    return null
  }

  #refuseForm({ operation, form }: Asked): StrictRefusal | null {
    const refusal = this.#rate.take()
    if (refusal !== null || form !== this.#options.refusedForm) return refusal
    return operation === 'generateAssistantResponse' ? WRONG_FORM : UNKNOWN_OPERATION
  }

  protected override answer(asked: Asked): JsonAnswer | Refusal | Script {
    const { operation, body, url, request, form } = asked
    const renewal = RENEWALS.get(url.pathname)
    if (renewal !== undefined) return this.#renew(renewal, body)
    const credential = credentialOf(request)
    const isQuotaAsked = operation === 'getUsageLimits' && credential.token === 'quota-token'
    const refusal = operation === undefined || isQuotaAsked ? null : this.#refuseToken(credential)
    if (refusal !== null) return refusal
    switch (operation) {
      case 'generateAssistantResponse':
        return this.#generateStrictly(asked, credential)
      case 'listAvailableModels':
        return { status: 200, json: pageOfModels(url.searchParams, body) }
      case 'listAvailableProfiles':
        if (credential.token.startsWith('ksk_')) return forbidden('Unsupported token type')
        return super.answer(asked)
      case 'getUsageLimits': {
        const { limit } = this.account.figures
        const account = isQuotaAsked ? new StrictAccount({ limit, used: limit }) : this.account
        return { status: 200, json: account.toUsageLimits(this.#now()) }
      }
      case 'mcp':
        return searchAs(
          form === 'path' ? credential : { ...credential, profileArn: undefined },
          body
        )
      case undefined:
        break
    }
    return super.answer(asked)
  }

  #renew(operation: 'refreshToken' | 'createToken', body: string): JsonAnswer {
    const renew = operation === 'refreshToken' ? refreshDesktop : createToken
    const answer = renew(body, this.#issuer)
    if (answer.status === 200) this.#census.countRefresh()
    return answer
  }

  #refuseToken(credential: Credential): StrictRefusal | null {
    return this.#issuer.isExpired(credential.token) ? EXPIRED : checkToken(credential)
  }

  #generateStrictly(asked: Asked, credential: Credential): Refusal | Script {
    if (this.account.refusal !== null) return this.account.refusal
    const { 'content-type': contentType } = asked.request.headers
    if (asked.form === 'target' && contentType !== TARGET_CONTENT_TYPE) return WRONG_FORM
    return refuseTooDeep(() => this.#judge(asked, credential))
  }

  #judge({ body, form }: Asked, credential: Credential): Refusal | Script {
    const { token } = credential
    const payload = parseJson(body)
    if (payload === undefined) return NO_JSON
    const view =
      checkProfile(withBodyProfile(credential, payload)) ??
      checkWeight(body) ??
      checkRequest(payload, form)
    if ('status' in view) return view
    const { modelId, words } = promptOf(view)
    const model = simulatedModel(modelId)
    if (model === undefined) return FAULTS['invalid-model']
    const { tokens } = this.#options
    const inputTokens = tokens?.request(view, modelId) ?? countRequestTokens(view, modelId)
    const refusal =
      findOddFault(words) ??
      this.memory.refuse(view, token) ??
      judgeOdd(view, words.numbers) ??
      checkReplay(view, modelId, accountOf(token)) ??
      checkWindow(inputTokens, model.tokenLimits.maxInputTokens)
    if (refusal !== null) return refusal
    const script = answerTo(view, {
      sign: signerFor(view, accountOf(token)),
      cachedTokens: () => this.#cache.read(view, model, inputTokens)
    })
    if ('status' in script) return script
    const facts = { inputTokens, isFirst: view.history.length === 0 }
    const { maxInputTokens: window } = model.tokenLimits
    const steps =
      tokens === undefined
        ? script.steps
        : withTruePercentage(script.steps, {
            inputTokens,
            window,
            count: (text) => tokens.text(modelId, text)
          })
    return { ...script, steps: alterAnswer(this.metered(steps), words, facts) }
  }

  protected override async perform(
    script: Script,
    response: ServerResponse,
    signal: AbortSignal
  ): Promise<void> {
    const { numbers } = script.words
    try {
      const headMs = numbers.get('headers') ?? 0
      if (headMs > 0) await delay(headMs, undefined, { signal })
      if (numbers.has('reset-first')) response.socket?.resetAndDestroy()
      if (numbers.has('reset-first') || numbers.has('stall-headers')) {
        if (!signal.aborted) await once(signal, 'abort')
        return
      }
    } catch (error) {
      if (signal.aborted) return
      throw error
    }
    const size = numbers.get('chunk')
    if (size === undefined) return super.perform(script, response, signal)
    const gapMs = numbers.get('gap') ?? this.gapMs
    const steps = inPieces(script.steps, { size, gapMs })
    const words = { ...script.words, numbers: new Map(numbers).set('gap', 0) }
    await super.perform({ steps, words }, response, signal)
  }

  /** Says in `x-simulator-rule` what the upstream would not tell. */
  protected override refuse(response: ServerResponse, refusal: StrictRefusal): void {
    const { status, html, rule, violation, retryAfterMilliseconds } = refusal
    if (rule !== undefined) {
      response.setHeader('x-simulator-rule', toHeaderText(`${rule}: ${violation ?? ''}`))
    }
    if (html !== undefined) {
      response.writeHead(status, { ...commonHeaders(), 'content-type': 'text/html' })
      response.end(html)
    } else if (retryAfterMilliseconds !== undefined) {
      const { errorType, message, reason } = refusal
      response.setHeader('x-amzn-errortype', errorType)
      answerJson(response, status, { __type: errorType, message, reason, retryAfterMilliseconds })
    } else super.refuse(response, refusal)
  }
}

const NO_JSON = improper('request-shape', 'the body is no JSON')

function refuseTooDeep<T>(decide: () => T): T | StrictRefusal {
  try {
    return decide()
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    return improper('request-shape', 'the body nests too deeply')
  }
}

/** Requires a profile like a generation. */
function searchAs(credential: Credential, body: string): JsonAnswer | Refusal {
  const request = parseJsonObject(body)
  if (request === null) return improper('request-shape', 'the body must be a JSON-RPC request')
  const profileArn =
    'profileArn' in request ? textMember(request, 'profileArn') : credential.profileArn
  const refusal = checkProfile({ ...credential, profileArn: profileArn ?? undefined })
  if (refusal !== null) return refusal
  if (faultOfSearch(request) === 'refused') return FAULTS.overloaded
  return { status: 200, json: searchStrictly(request) }
}

/** Violations may contain any names from the request. */
function toHeaderText(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 200)
}
