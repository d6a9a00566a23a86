import { mkdtempSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type * as Core from '../../src/fleet/next-refresh.ts'
import type * as Rec from '../../src/fleet/sign-in-record.ts'
import { type Mutant, mutate } from '../helper/mutant.ts'

/** What a hasty change might do to the rules of renewing. The walk finds each of these. */
export const REFRESH_MUTANTS: readonly Mutant[] = [
  {
    story: 'a token is presented without an acknowledged turn',
    file: 'next-refresh.ts',
    from: "if (turn?.stage !== 'granted' || own?.fence !== turn.fence) return 0",
    to: 'if (turn === null) return 0'
  },
  {
    story: 'a token is presented to the end of the turn',
    file: 'next-refresh.ts',
    from: 'times.turnMs - times.marginMs - elapsedMs(turn.sentAt, now)',
    to: 'times.turnMs - elapsedMs(turn.sentAt, now)'
  },
  {
    story: 'time that a machine sleeps does not count against its turn',
    file: 'next-refresh.ts',
    from: 'times.turnMs - times.marginMs - elapsedMs(turn.sentAt, now)',
    to: 'times.turnMs - times.marginMs - watchedMs(turn.sentAt, now)'
  },
  {
    story: 'a clock that is set ends the turn of another',
    file: 'next-refresh.ts',
    from: '0 : times.turnMs - watchedMs(seen.since, now)',
    to: '0 : times.turnMs - elapsedMs(seen.since, now)'
  },
  {
    story: 'a turn of another is taken although it is not over',
    file: 'next-refresh.ts',
    from: "if (leftMs > 0) return { type: 'wait', ms: leftMs, why: isMine ? 'doubt' : 'holder' }",
    to: ''
  },
  {
    story: 'a token in doubt is presented while the access token is good',
    file: 'next-refresh.ts',
    from: "if (!isUseless) return { type: 'wait', ms: Infinity, why: 'doubt' }",
    to: ''
  },
  {
    story: 'an empty engine is believed at once',
    file: 'next-refresh.ts',
    from: "if (unsettledMs > 0) return { type: 'wait', ms: unsettledMs, why: 'settling' }",
    to: ''
  },
  {
    story: 'a Valkey that knows less than we is believed',
    file: 'next-refresh.ts',
    from: 'if (facts.gen !== own.gen) return facts.gen > own.gen',
    to: 'if (facts.gen !== own.gen) return true'
  },
  {
    story: 'what is told after a loss says that nobody presents the token',
    file: 'next-refresh.ts',
    from: 'return seen.facts !== null && isSame(seen.facts, own) ? null : own',
    to: "return seen.facts !== null && isSame(seen.facts, own) ? null : inPhase(own, 'idle')"
  },
  {
    story: 'a token of our own that may be spent counts as not presented',
    file: 'next-refresh.ts',
    from: "return isTurnOfMine(state, own) && (stage === 'asked' || stage === 'granted')",
    to: 'return isTurnOfMine(state, own)'
  },
  {
    story: 'any turn under our name counts as ours, also of the process before',
    file: 'next-refresh.ts',
    from: "return isTurnOfMine(state, own) && (stage === 'asked' || stage === 'granted')",
    to: "return own.holder === state.self && stage !== 'presented' && stage !== 'lost'"
  },
  {
    story: 'a turn that was lost counts as not presented',
    file: 'next-refresh.ts',
    from: "(stage === 'asked' || stage === 'granted')",
    to: "stage !== 'presented'"
  },
  {
    story: 'a turn of our own counts as over while an answer may come',
    file: 'next-refresh.ts',
    from: "return turn?.stage === 'lost' && lost <= QUICK_TURNS",
    to: 'return lost <= QUICK_TURNS'
  },
  {
    story: 'a gateway that loses each of its turns lets nobody else try',
    file: 'next-refresh.ts',
    from: "return turn?.stage === 'lost' && lost <= QUICK_TURNS",
    to: "return turn?.stage === 'lost'"
  },
  {
    story: 'a turn of another counts as over because one of ours was lost',
    file: 'next-refresh.ts',
    from: 'isMine && isOver(state) ? 0',
    to: 'isOver(state) ? 0'
  },
  {
    story: 'a turn is renewed without a fence of its own',
    file: 'next-refresh.ts',
    from: 'holder: state.self, fence: own.fence + 1 }',
    to: 'holder: state.self, fence: own.fence }'
  },
  {
    story: 'an old copy of the file counts as a new sign-in',
    file: 'next-refresh.ts',
    from: 'if (isKnownTo(own, proof)) return null',
    to: ''
  },
  {
    story: 'any unknown file counts as a new sign-in',
    file: 'next-refresh.ts',
    from: "return hasChanged || own.phase === 'refused' ? newSignInFacts(own, proof) : null",
    to: 'return newSignInFacts(own, proof)'
  },
  {
    story: 'spent tokens are forgotten',
    file: 'sign-in-record.ts',
    from: 'return other === proof || other === lineage || spent.includes(other.slice(0, SPENT_CHARS))',
    to: 'return other === proof'
  },
  {
    story: 'a renewal does not make a generation',
    file: 'sign-in-record.ts',
    from: "return { ...facts, gen: facts.gen + 1, phase: 'idle', proof, spent }",
    to: "return { ...facts, phase: 'idle', proof, spent }"
  },
  {
    story: 'a new sign-in does not make a generation',
    file: 'sign-in-record.ts',
    from: 'return { gen: gen + 1, holder,',
    to: 'return { gen, holder,'
  }
]

/** The rules of a sign-in, as a test takes them: the real ones, or with a fault. */
export interface RefreshRules {
  readonly core: typeof Core
  readonly record: typeof Rec
}

/** The rules with one fault. */
export async function mutateRefresh(mutant: Mutant): Promise<RefreshRules> {
  const files = ['next-refresh.ts', 'sign-in-record.ts']
  const rules = await mutateFleet(mutant, files)
  return { core: rules as typeof Core, record: rules as typeof Rec }
}

/** Loads files of `src/fleet` with one fault. */
export function mutateFleet(mutant: Mutant, files: readonly string[]): Promise<unknown> {
  const folder = mkdtempSync(join(tmpdir(), 'fleet-mutant-'))
  symlinkSync(join(import.meta.dirname, '../../node_modules'), join(folder, 'node_modules'))
  return mutate(
    folder,
    { ...mutant, file: `fleet/${mutant.file}` },
    { parts: ['fleet', 'shared'], files: files.map((file) => `fleet/${file}`) }
  )
}
