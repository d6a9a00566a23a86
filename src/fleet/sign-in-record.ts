import { createHmac } from 'node:crypto'
import { Check } from 'typebox/schema'
import { asJsonObject, parseJson } from '../shared/json.ts'
import { type Checked, Type } from '../shared/schema-type.ts'

const SPENT_CHARS = 16
/** Renewals of at least a day and a half; a sign-in's first token is remembered for ever. */
const MAX_SPENT = 64
const MAX_SEALED_CHARS = 524_288
const MAX_RECORD_CHARS = MAX_SEALED_CHARS + 4_096

const Proof = Type.String({ pattern: '^[0-9a-f]{64}$' })

const Facts = {
  /** Grows for ever with each renewal and new sign-in. */
  gen: Type.Integer({ minimum: 1, maximum: 2 ** 48 }),
  /** Gateway that renews, or did last; '' before the first. */
  holder: Type.String({ pattern: '^[A-Za-z0-9_.-]{0,63}$' }),
  /**
   * `presenting`: the holder may have presented the token, and no other gateway may until the new tokens are there.
   * `refused` for good: only a new sign-in helps.
   */
  phase: Type.Enum(['idle', 'presenting', 'refused']),
  fence: Type.Integer({ minimum: 0, maximum: 2 ** 48 }),
  /** Identifies this generation's refresh token without revealing it. */
  proof: Proof,
  /** Proof of the sign-in that this generation descends from. */
  lineage: Proof,
  spent: Type.Array(Type.String({ pattern: '^[0-9a-f]{16}$' }), { maxItems: MAX_SPENT })
}

export const FactsSchema = Type.Object(Facts)
const RecordSchema = Type.Object({
  v: Type.Enum([1]),
  ...Facts,
  sealed: Type.String({ maxLength: MAX_SEALED_CHARS })
})

export type SignInFacts = Checked<typeof FactsSchema>
export type SignInPhase = SignInFacts['phase']

/** Unverified: anyone with access to Valkey may have written it. */
export interface SignInRecord extends SignInFacts {
  readonly sealed: string
}

export type SignInReading =
  | { readonly type: 'none' }
  | { readonly type: 'damaged' }
  | { readonly type: 'newer' }
  | { readonly type: 'record'; readonly record: SignInRecord }

/** Never throws. */
export function readSignInRecord(text: string | null): SignInReading {
  if (text === null) return { type: 'none' }
  const value = text.length > MAX_RECORD_CHARS ? undefined : parseJson(text)
  const { v } = asJsonObject(value) ?? {}
  if (typeof v === 'number' && v > 1) return { type: 'newer' }
  return Check(RecordSchema, value) ? { type: 'record', record: value } : { type: 'damaged' }
}

export function writeSignInRecord(record: SignInRecord): string {
  return JSON.stringify({ v: 1, ...record })
}

/** Additional data of the seal: tokens can be reused, moved or altered only with the secret. */
export function aadOf(facts: SignInFacts, fleet: string, source: string): string {
  const { gen, holder, phase, fence, proof, lineage, spent } = facts
  return ['v1', fleet, source, gen, holder, phase, fence, proof, lineage, ...spent].join('|')
}

/** Identifies a refresh token, independent of the secret, which gateways may replace at different times. */
export function proofOf(refreshToken: string, fleet: string): string {
  return createHmac('sha256', `kiro-gateway sign-in ${fleet}`).update(refreshToken).digest('hex')
}

/** A token of this or an earlier generation is not a new sign-in. */
export function isKnownTo({ proof, lineage, spent }: SignInFacts, other: string): boolean {
  return other === proof || other === lineage || spent.includes(other.slice(0, SPENT_CHARS))
}

export function renewedFacts(facts: SignInFacts, proof: string): SignInFacts {
  const spent = proof === facts.proof ? facts.spent : withSpent(facts.spent, facts.proof)
  return { ...facts, gen: facts.gen + 1, phase: 'idle', proof, spent }
}

/** Next generation after a new sign-in; earlier tokens count as spent, so that they never return as new. */
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
