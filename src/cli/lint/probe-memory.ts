import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { codeOf, operatorError } from '../../shared/errors.ts'
import { asJsonObject, isJsonObject, objectsIn, parseJsonObject } from '../../shared/json.ts'
import { makePrivateFolder, readPrivateFile, replaceFile } from '../../shared/private-files.ts'
import type { CandidateVerdict } from './refusal-search.ts'

const FILE = 'lint-probes.json'
const MAX_PROBES = 8
const MAX_VERDICTS = 400
const MAX_BYTES = 512 * 1024

interface KeptProbe {
  readonly id: string
  readonly verdicts: Readonly<Record<string, CandidateVerdict>>
}

/**
 * Verdicts of the upstream on one request and its parts, so that an interrupted probe goes on where it was. The file in
 * STATE_DIR has hashes alone, of the newest 8 requests.
 */
export class ProbeMemory {
  readonly #path: string
  readonly #id: string
  readonly #others: readonly KeptProbe[]
  readonly #verdicts: Map<string, CandidateVerdict>

  private constructor(path: string, id: string, probes: readonly KeptProbe[]) {
    this.#path = path
    this.#id = id
    this.#others = probes.filter((probe) => probe.id !== id).slice(0, MAX_PROBES - 1)
    const own = probes.find((probe) => probe.id === id)
    this.#verdicts = new Map(Object.entries(own?.verdicts ?? {}))
  }

  /** `parts`: whatever makes this probe another than the rest. @throws {GatewayError} GW_CONFIG_INVALID without a folder */
  static async open(
    stateDir: string,
    parts: readonly (string | Uint8Array)[]
  ): Promise<ProbeMemory> {
    const hash = createHash('sha256')
    for (const part of parts) hash.update(part).update('\0')
    const path = join(stateDir, FILE)
    try {
      await makePrivateFolder(stateDir)
      const id = hash.digest('hex').slice(0, 32)
      return new ProbeMemory(path, id, probesIn(await textOf(path)))
    } catch (cause) {
      throw operatorError(`The probe cannot be kept in ${stateDir} (${codeOf(cause)}).`, cause)
    }
  }

  get size(): number {
    return this.#verdicts.size
  }

  get(id: string): CandidateVerdict | undefined {
    return this.#verdicts.get(id)
  }

  async add(id: string, verdict: CandidateVerdict): Promise<void> {
    if (this.#verdicts.size < MAX_VERDICTS) this.#verdicts.set(id, verdict)
    await this.#write()
  }

  async forget(): Promise<void> {
    this.#verdicts.clear()
    await this.#write()
  }

  async #write(): Promise<void> {
    const own = { id: this.#id, verdicts: Object.fromEntries(this.#verdicts) }
    const text = JSON.stringify({ probes: [own, ...this.#others] })
    await replaceFile(this.#path, { text, mode: 0o600, isDurable: false })
  }
}

/** An unreadable file is one of nothing: the probe asks again then. */
async function textOf(path: string): Promise<string> {
  try {
    return (await readPrivateFile(path, MAX_BYTES)).toString()
  } catch (cause) {
    if (codeOf(cause) === 'ELOOP') throw cause
    return ''
  }
}

function probesIn(text: string): readonly KeptProbe[] {
  return objectsIn(parseJsonObject(text)?.['probes']).flatMap(({ id, verdicts }) => {
    if (typeof id !== 'string' || !isJsonObject(verdicts)) return []
    const known = Object.entries(asJsonObject(verdicts) ?? {}).filter(isKnown)
    return [{ id, verdicts: Object.fromEntries(known.slice(0, MAX_VERDICTS)) }]
  })
}

const VERDICTS: ReadonlySet<unknown> = new Set<CandidateVerdict>(['refused', 'taken', 'other'])

function isKnown(entry: [string, unknown]): entry is [string, CandidateVerdict] {
  return VERDICTS.has(entry[1])
}
