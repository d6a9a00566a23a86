import { unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { Check } from 'typebox/schema'
import { codeOf } from '../../shared/errors.ts'
import { makeInnerFolder, openPrivateFile, replaceFile } from '../../shared/private-files.ts'
import { type Checked, Type } from '../../shared/schema-type.ts'
import { clientFile, textHash } from './text/text-format.ts'

const StepSchema = Type.Union([
  Type.String(),
  Type.Object({ member: Type.String(), is: Type.String() })
])

const Remembered = Type.Object({
  version: Type.Integer({ minimum: 1, maximum: 1 }),
  path: Type.String(),
  original: Type.Union([Type.String(), Type.Null()]),
  mode: Type.Union([Type.Integer({ minimum: 0, maximum: 0o777 }), Type.Null()]),
  /** Created folders, outermost first. */
  folders: Type.Array(Type.String()),
  hash: Type.String(),
  /** Written values and their predecessors: enough for undo in a file that has changed since. */
  written: Type.Array(
    Type.Object({
      path: Type.Array(StepSchema),
      hash: Type.String(),
      before: Type.Optional(Type.Unknown()),
      /** Leading path steps that existed before. */
      depth: Type.Integer({ minimum: 0 })
    })
  )
})

export type RememberedFile = Checked<typeof Remembered>
export type FileRecord = Pick<RememberedFile, 'original' | 'hash' | 'written'>
export type WrittenEntry = FileRecord['written'][number]

/** Records in `setup/` of the state folder, private because originals may hold keys of other services. */
export class SetupMemory {
  readonly folder: string

  constructor(stateFolder: string) {
    this.folder = join(stateFolder, 'setup')
  }

  /** @throws {GatewayError} GW_CLIENT_FILE if the record cannot be read: it is not overwritten */
  async recall(path: string): Promise<RememberedFile | null> {
    const place = this.#placeOf(path)
    let kept: unknown
    try {
      await using file = await openPrivateFile(place)
      kept = JSON.parse(await file.readFile('utf8'))
    } catch (cause) {
      if (codeOf(cause) === 'ENOENT') return null
      throw clientFile(`${place}, the backup of ${path}, cannot be read.`, cause)
    }
    if (!Check(Remembered, kept) || kept.path !== path) {
      throw clientFile(`${place}, the backup of ${path}, is damaged. Move it away.`)
    }
    return kept
  }

  async remember(file: RememberedFile): Promise<void> {
    try {
      await makeInnerFolder(this.folder)
      const text = `${JSON.stringify(file, null, 2)}\n`
      await replaceFile(this.#placeOf(file.path), { text, mode: 0o600, isDurable: true })
    } catch (cause) {
      throw clientFile(
        `${this.folder}, the place for the backup of ${file.path}, cannot be written (${codeOf(cause)}). Set STATE_DIR.`,
        cause
      )
    }
  }

  async forget(path: string): Promise<void> {
    await unlink(this.#placeOf(path)).catch(() => {}) // nothing was kept
  }

  #placeOf(path: string): string {
    return join(this.folder, `${textHash(path).slice(0, 16)}.json`)
  }
}
