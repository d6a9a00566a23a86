import { editDistance } from '../shared/edit-distance.ts'
import { listSettings } from './setting-text.ts'
import type { Environment } from './load.ts'

export interface MisspeltName {
  readonly name: string
  readonly meant: string
}

/** HTTPS_PROXY often stands beside HTTP_PROXY, for calls that the gateway does not make. */
const NAMES_OF_OTHERS: ReadonlySet<string> = new Set(['HTTP_PROXY', 'http_proxy'])
/** Other programs' short names are a letter away from ours, such as WORKER from WORKERS. */
const MIN_GUESSED_LETTERS = 8
/** Kubernetes' service addresses, whose names others choose. */
const SERVICE_LINK = /^(?:tcp|udp|sctp):\/\//

/** Names may be two letters off in `.env`, else one, unless they begin as only ours do. Ignores case and separators. */
export function findMisspelt(
  env: Environment,
  fileNames: ReadonlySet<string>
): readonly MisspeltName[] {
  const settings = listSettings().map(({ setting }) => setting)
  const known = new Set(settings.flatMap(({ env: name, alias }) => [name, alias ?? []].flat()))
  known.add('ENV_FILE')
  const candidates = [...known].map((name) => ({ name, letters: lettersOf(name) }))
  return Object.entries(env).flatMap(([name, value = '']) => {
    if (known.has(name) || NAMES_OF_OTHERS.has(name) || SERVICE_LINK.test(value)) return []
    const isOurs = fileNames.has(name) || /^(?:HTTP|KIRO)_/.test(name)
    const meant = nearest(lettersOf(name), candidates, isOurs)
    return meant === null ? [] : [{ name, meant }]
  })
}

function lettersOf(name: string): string {
  return name.toUpperCase().replace(/[-_.]/g, '')
}

function nearest(
  letters: string,
  candidates: readonly { readonly name: string; readonly letters: string }[],
  isOurs: boolean
): string | null {
  let best: string | null = null
  let least = Infinity
  for (const { name, letters: wanted } of candidates) {
    const most = isOurs ? 2 : wanted.length < MIN_GUESSED_LETTERS ? 0 : 1
    if (Math.abs(wanted.length - letters.length) > most) continue
    if (!wanted.startsWith(letters.slice(0, 2)) && !wanted.endsWith(letters.slice(-2))) continue
    const distance = editDistance(letters, wanted)
    if (distance > most || distance >= least) continue
    best = name
    least = distance
  }
  return best
}
