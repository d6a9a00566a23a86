import type { Random } from '../../chaos/random.ts'

/** What happens to one gateway, and how often beside the others. */
const ON_GATEWAY = {
  'kill worker': 2,
  'kill primary': 2,
  'kill tree': 3,
  'stop worker': 1,
  'stop primary': 3,
  'stop tree': 3,
  cut: 3,
  hold: 3,
  clock: 2,
  restart: 1,
  leave: 2
} as const
/** What happens to Valkey, or to all. */
const ON_ALL = {
  wipe: 3,
  'Valkey restarts empty': 2,
  'Valkey restarts with its state': 2,
  'Valkey restarts with an old state': 2,
  'Valkey stands still': 2,
  resize: 3
} as const

export type GatewayTrouble = keyof typeof ON_GATEWAY
export type EngineTrouble = keyof typeof ON_ALL

interface Course {
  readonly afterMs: number
  /** For so long, where it can last. */
  readonly forMs: number
  /** Milliseconds by which a clock is set, or connections that there are from then on. */
  readonly amount: number
}

/** `name`: which gateway; `null` for what concerns all. */
export type Trouble = Course &
  (
    | { readonly kind: GatewayTrouble; readonly name: string }
    | { readonly kind: EngineTrouble; readonly name: null }
  )

const LASTING: readonly Trouble['kind'][] = [
  'stop worker',
  'stop primary',
  'stop tree',
  'cut',
  'hold',
  'Valkey stands still'
]
/** With FLEET_LEASE=12 a gateway takes nothing new after 10 s without Valkey, and has cut everything after 11 s. */
const SAFE_MS = 6_500
const SIZES = [12, 18, 24, 30] as const

/** What goes wrong in one round: one to three things, which may overlap; at most one of them for longer than a lease lasts. */
export function drawTroubles(random: Random, names: readonly string[]): readonly Trouble[] {
  const isLong = random.chance(0.15)
  return Array.from({ length: random.between(1, 3) }, (_, at) =>
    drawTrouble(random, names, at === 0 && isLong)
  )
}

function drawTrouble(random: Random, names: readonly string[], isLong: boolean): Trouble {
  const what = random.chance(0.35)
    ? { kind: random.weighted(ON_ALL), name: null }
    : { kind: random.weighted(ON_GATEWAY), name: random.pick(names) ?? '' }
  const { kind } = what
  const usualMs = random.between(200, 2_500)
  const longMs = random.between(8_000, 15_000)
  const isLasting = LASTING.includes(kind) && isLong
  const size = random.pick(SIZES) ?? SIZES[0]
  const clockMs = random.between(-15_000, 15_000)
  return {
    ...what,
    afterMs: random.between(200, 1_500),
    forMs: isLasting ? longMs : usualMs,
    amount: kind === 'resize' ? size : clockMs
  }
}

export interface Excuses {
  /** Their streams may break, as `docs/fleet.md` says. */
  readonly cut: ReadonlySet<string>
  /** They may refuse. */
  readonly refused: ReadonlySet<string>
}

/** Of whatever these do. */
export function allOf(names: readonly string[]): Excuses {
  return { cut: new Set(names), refused: new Set(names) }
}

/** Whose clients may see something of it. */
export function excusesFor(troubles: readonly Trouble[], names: readonly string[]): Excuses {
  const cut = new Set(names.filter((name) => mayCut(troubles, name)))
  const leaving = troubles.filter(({ kind }) => kind === 'leave').map(({ name }) => name ?? '')
  return { cut, refused: new Set([...cut, ...leaving]) }
}

function mayCut(troubles: readonly Trouble[], name: string): boolean {
  let silentMs = 0
  for (const { kind, name: other, forMs, amount } of troubles) {
    if (other !== null && other !== name) continue
    if (kind.startsWith('kill') || kind === 'stop worker') return true
    if (kind === 'clock') silentMs += Math.max(0, amount)
    else if (LASTING.includes(kind)) silentMs += forMs
  }
  return silentMs > SAFE_MS
}

export function toText({ kind, name, afterMs, forMs, amount }: Trouble): string {
  const lasts = LASTING.includes(kind) ? ` for ${forMs} ms` : ''
  const by = kind === 'clock' || kind === 'resize' ? ` ${amount}` : ''
  return `${kind}${name === null ? '' : ` ${name}`}${by}${lasts} after ${afterMs} ms`
}
