import { MAX_STATE_CHARS } from '../../src/fleet/fleet-state.ts'
import type { EngineData, Reply } from './engine-data.ts'

type Script = (data: EngineData, keys: readonly string[], args: readonly string[]) => Reply

const SIGNATURE_CHARS = 64
const MAX_BEATS_CHARS = 65_536
const MAX_REV = 2 ** 47

/**
 * What each script of `src/fleet/valkey-scripts.ts` does, by the digest of its text: one whose text has changed is
 * unknown here, and its first call ends the world. `engine-data.test.ts` compares them with a real Valkey.
 */
export const SCRIPTS: Readonly<Record<string, Script>> = {
  // READ_SCRIPT
  b3bf2d8d7466fdc4: (data, keys) => tell(data, keys, revOf(data, keys)),
  // CAS_SCRIPT
  '2fd8ed225fc5406b': cas,
  // BEAT_SCRIPT
  '15b7eb722705efe0': beat,
  // RECORD_READ_SCRIPT
  a5effcd6331e11b0: (data, [key = ''], [longest]) =>
    tellRecord(data, key, { rev: recordRevOf(data, key), longest: Number(longest) }),
  // RECORD_CAS_SCRIPT
  '28d4e8922db29cc0': casRecord,
  // PROBE_SCRIPT, which leaves nothing behind
  '85fcc846e61e7527': () => 1
}

function revOf(data: EngineData, [ledger = '']: readonly string[]): number {
  const rev = plausible(data.get(ledger, 'rev'))
  if (rev !== null) return rev
  const now = Math.floor(data.now())
  data.set(ledger, { rev: String(now) })
  return now
}

/** Never more than anybody could have counted to. */
function plausible(text: string | null): number | null {
  const rev = numberOf(text)
  return rev !== null && rev >= 1 && rev < MAX_REV && Number.isInteger(rev) ? rev : null
}

/** As Lua's `tonumber()`. */
function numberOf(text: string | null | undefined): number | null {
  if (text === null || text === undefined || text.trim() === '') return null
  const number = Number(text)
  return Number.isNaN(number) ? null : number
}

function tell(data: EngineData, [ledger = '', beats = '']: readonly string[], rev: number): Reply {
  const state = data.get(ledger, 'state')
  const signature = data.get(ledger, 'signature')
  return [
    data.run,
    rev,
    beatsOf(data, beats),
    state !== null && state.length <= MAX_STATE_CHARS ? state : null,
    signature?.length === SIGNATURE_CHARS ? signature : null
  ]
}

function beatsOf(data: EngineData, key: string): readonly string[] {
  const all = data.fields(key).flat()
  const size = all.reduce((sum, { length }) => sum + length, 0)
  return size <= MAX_BEATS_CHARS ? all : []
}

function cas(data: EngineData, keys: readonly string[], args: readonly string[]): Reply {
  const [ledger = '', beats = '', channel = ''] = keys
  const [run, seen, next = '', era = '', state = '', signature = '', members] = args
  const eraBefore = data.get(ledger, 'era')
  const rev = revOf(data, keys)
  const [incs, expects] = [args.slice(7, 7 + Number(members)), args.slice(7 + Number(members))]
  let isFresh = run === data.run && rev === numberOf(seen)
  for (let at = 0; at < expects.length; at += 2)
    if (data.get(beats, expects[at] ?? '') !== expects[at + 1]) isFresh = false
  if (!isFresh) return [0, tell(data, keys, rev)]
  if (eraBefore !== era) data.drop(beats)
  for (const inc of incs) if (data.get(beats, inc) === null) data.set(beats, { [inc]: '0' })
  for (const [inc] of data.fields(beats)) if (!incs.includes(inc)) data.remove(beats, inc)
  data.set(ledger, { rev: next, era, state, signature })
  data.publish(channel, next)
  return [1, tell(data, keys, Number(next))]
}

function beat(
  data: EngineData,
  keys: readonly string[],
  [run, inc = '']: readonly string[]
): Reply {
  const rev = revOf(data, keys)
  const beats = keys[1] ?? ''
  const last = run === data.run ? data.get(beats, inc) : null
  if (last !== null) {
    const told = numberOf(last) ?? 0
    const count = told >= 0 && told < MAX_REV ? told : 0
    data.set(beats, { [inc]: String(Math.floor(count) + 1) })
  }
  return [data.run, rev, beatsOf(data, beats), last === null ? 0 : 1]
}

function recordRevOf(data: EngineData, key: string): number {
  return plausible(data.get(key, 'rev')) ?? 0
}

function tellRecord(
  data: EngineData,
  key: string,
  { rev, longest }: { readonly rev: number; readonly longest: number }
): Reply {
  const value = data.get(key, 'value')
  const now = Math.floor(data.now())
  const ageMs = now - (numberOf(data.get(key, 'at')) ?? now)
  return [data.run, rev, rev > 0 && (value?.length ?? 0) <= longest ? value : null, ageMs]
}

function casRecord(
  data: EngineData,
  [key = '', channel = '']: readonly string[],
  [longest, seen, act, value = '', lifeMs, message = '']: readonly string[]
): Reply {
  let rev = recordRevOf(data, key)
  if (rev !== numberOf(seen)) return [0, tellRecord(data, key, { rev, longest: Number(longest) })]
  const now = Math.floor(data.now())
  if (act === 'delete') {
    data.drop(key)
    rev = 0
  } else {
    rev = rev === 0 ? now : rev + 1
    data.set(key, { rev: String(rev), value, at: String(now) })
    data.expire(key, Number(lifeMs) > 0 ? Number(lifeMs) : null)
  }
  if (message !== '') data.publish(channel, message)
  return [1, [data.run, rev, null, 0]]
}
