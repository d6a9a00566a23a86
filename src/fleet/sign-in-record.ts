import { createHmac } from 'node:crypto'
import { isJsonObject } from '../shared/json.ts'

/** Right to exchange the refresh token of a generation for the next one, and its progress. */
export type SignInPhase =
  /** No gateway has it. */
  | 'idle'
  /** The holder may have presented the token: until its tokens are there no other gateway may. */
  | 'presenting'
  /** The token service has refused it for good: only a new sign-in helps. */
  | 'refused'

/** Facts about the sign-in that the gateways of a fleet share. */
export interface SignInFacts {
  /** Goes up with each renewal and with each new sign-in, over all of time. */
  readonly gen: number
  /** The gateway that renews, or was the last to do so; '' before the first. */
  readonly holder: string
  readonly phase: SignInPhase
  /** Goes up with each turn at renewing. */
  readonly fence: number
  /** Tells which refresh token belongs to this generation, and nothing about it. */
  readonly proof: string
  /** The proof of the sign-in that this generation was renewed from, step by step. */
  readonly lineage: string
  /** Earlier proofs, cut short, the newest last: such tokens are spent. */
  readonly spent: readonly string[]
}

/** As it stands in the engine: anybody who can write there may have written it. */
export interface SignInRecord extends SignInFacts {
  /** The tokens, for those who have the secret. */
  readonly sealed: string
}

export type SignInReading =
  | { readonly type: 'none' }
  | { readonly type: 'damaged' }
  /** Record of a later version of this program. */
  | { readonly type: 'newer' }
  | { readonly type: 'record'; readonly record: SignInRecord }

const PHASES: readonly unknown[] = ['idle', 'presenting', 'refused'] satisfies SignInPhase[]
const PROOF = /^[0-9a-f]{64}$/
const SPENT = /^[0-9a-f]{16}$/
const SPENT_CHARS = 16
/** Renewals of at least a day and a half; the first token of a sign-in is remembered for ever. */
const MAX_SPENT = 64
/** As FLEET_MEMBER: it is shown in terminals. */
const HOLDER = /^[\w.-]{0,63}$/
/** Tokens of 64 KB each, sealed, are shorter. */
const MAX_SEALED_CHARS = 524_288
const MAX_RECORD_CHARS = MAX_SEALED_CHARS + 4_096

/** Reads what stands in the engine. Never throws. */
export function readSignInRecord(text: string | null): SignInReading {
  if (text === null) return { type: 'none' }
  if (text.length > MAX_RECORD_CHARS) return { type: 'damaged' }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return { type: 'damaged' }
  }
  if (!isJsonObject(value)) return { type: 'damaged' }
  const { v, sealed } = value
  if (typeof v === 'number' && v > 1) return { type: 'newer' }
  const facts = readSignInFacts(value)
  if (v !== 1 || facts === null || typeof sealed !== 'string') return { type: 'damaged' }
  if (sealed.length > MAX_SEALED_CHARS) return { type: 'damaged' }
  return { type: 'record', record: { ...facts, sealed } }
}

export function writeSignInRecord(record: SignInRecord): string {
  return JSON.stringify({ v: 1, ...record })
}

/**
 * Data bound by the seal of a record: without the secret one cannot claim that a token is unused, nor move tokens to
 * another generation, sign-in or fleet. `fleet` is FLEET_NAME, `source` names the record.
 */
export function aadOf(facts: SignInFacts, fleet: string, source: string): string {
  const { gen, holder, phase, fence, proof, lineage, spent } = facts
  return ['v1', fleet, source, gen, holder, phase, fence, proof, lineage, ...spent].join('|')
}

/** The facts in an object from anywhere; `null` if they are none. */
export function readSignInFacts(value: Readonly<Record<string, unknown>>): SignInFacts | null {
  const { gen, holder, phase, fence, proof, lineage, spent } = value
  if (!isCount(gen) || gen === 0 || !isCount(fence) || !isPhase(phase)) return null
  if (typeof holder !== 'string' || !HOLDER.test(holder)) return null
  if (!isProof(proof) || !isProof(lineage)) return null
  if (!Array.isArray(spent) || spent.length > MAX_SPENT || !spent.every(isSpent)) return null
  return { gen, holder, phase, fence, proof, lineage, spent }
}

/**
 * Names a refresh token, which is too long to be guessed. Not by the secret: gateways may have different ones for a while,
 * when it is replaced. `fleet` is FLEET_NAME.
 */
export function proofOf(refreshToken: string, fleet: string): string {
  return createHmac('sha256', `kiro-gateway sign-in ${fleet}`).update(refreshToken).digest('hex')
}

/** True if a refresh token is of this generation or an earlier one, and hence not a new sign-in. */
export function isKnownTo({ proof, lineage, spent }: SignInFacts, other: string): boolean {
  return other === proof || other === lineage || spent.includes(other.slice(0, SPENT_CHARS))
}

/** The generation that follows by a renewal; the one who had the turn has made it. */
export function renewedFacts(facts: SignInFacts, proof: string): SignInFacts {
  const spent = proof === facts.proof ? facts.spent : withSpent(facts.spent, facts.proof)
  return { ...facts, gen: facts.gen + 1, phase: 'idle', proof, spent }
}

/** The generation that follows by a new sign-in; what was before is spent, so that it never comes back as a new one. */
export function newSignInFacts(facts: SignInFacts | null, proof: string): SignInFacts {
  if (facts === null) {
    return { gen: 1, holder: '', phase: 'idle', fence: 0, proof, lineage: proof, spent: [] }
  }
  const spent = withSpent(withSpent(facts.spent, facts.lineage), facts.proof)
  const { gen, fence, holder } = facts
  return { gen: gen + 1, holder, phase: 'idle', fence: fence + 1, proof, lineage: proof, spent }
}

function withSpent(spent: readonly string[], proof: string): readonly string[] {
  const short = proof.slice(0, SPENT_CHARS)
  return [...spent.filter((one) => one !== short), short].slice(-MAX_SPENT)
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0 && Number(value) <= 2 ** 48
}

function isPhase(value: unknown): value is SignInPhase {
  return PHASES.includes(value)
}

function isProof(value: unknown): value is string {
  return typeof value === 'string' && PROOF.test(value)
}

function isSpent(value: unknown): value is string {
  return typeof value === 'string' && SPENT.test(value)
}
