import type { SettingSource } from '../../config/load-process.ts'
import { listSettings, writeSetting } from '../../config/setting-text.ts'
import type { Setting } from '../../config/setting.ts'
import type { Config } from '../../config/settings.ts'
import type { PanelAnswer, PanelCall } from '../../ipc/panel.ts'
import { GatewayError } from '../../shared/errors.ts'
import type { AuditActions } from './audit-actions.ts'
import { answer, panelError } from './panel-answer.ts'

export interface ReloadNews {
  /** Changed settings that need a restart. */
  readonly needRestart: readonly string[]
  readonly warnings: readonly string[]
}

/** Settings, as only the program's entry can read them. */
export interface SettingsOperations {
  /** @throws {GatewayError} GW_CONFIG_INVALID, with nothing changed */
  readonly reload: () => ReloadNews
  /** Returns what a restart would use. @throws {GatewayError} GW_CONFIG_INVALID */
  readonly next: () => Config
  readonly sources: () => {
    readonly of: (name: string, option?: string) => SettingSource
    readonly file: string | null
  }
  /** Ends as on SIGTERM, then starts again in the same process. Does nothing once the gateway is ending. */
  readonly restart: () => void
  /** False where the system cannot do that, or the program is gone. */
  readonly canRestart: () => boolean
  readonly isEnding: () => boolean
}

export interface SettingsActionsOptions {
  readonly config: () => Config
  /** `null` before the gateway has started. */
  readonly operations: () => SettingsOperations | null
  readonly audit: Pick<AuditActions, 'note'>
}

/** Settings in force, where each comes from, and their reload. */
export class SettingsActions {
  readonly #options: SettingsActionsOptions

  constructor(options: SettingsActionsOptions) {
    this.#options = options
  }

  list(): PanelAnswer {
    const operations = this.#operations()
    const config = this.#options.config()
    const next = nextOf(operations)
    const { of, file } = operations.sources()
    const settings = listSettings().map(({ group, name, setting }) => {
      const value = shownValue(setting, valueAt(config, group, name))
      const later = next === null ? value : shownValue(setting, valueAt(next, group, name))
      const isChanged =
        next !== null && !isSame(valueAt(config, group, name), valueAt(next, group, name))
      return {
        name: setting.env,
        value,
        default: shownValue(setting, setting.default),
        source: of(setting.env, setting.option),
        is_secret: setting.isSecret === true,
        needs_restart: setting.restart === true,
        meaning: setting.description,
        pending: isChanged ? later : null
      }
    })
    return answer({ settings, file })
  }

  async reload(call: PanelCall): Promise<PanelAnswer> {
    const before = this.#options.config()
    try {
      const { needRestart, warnings } = this.#operations().reload()
      const after = this.#options.config()
      const changed = listSettings().filter(
        ({ group, name }) => !isSame(valueAt(before, group, name), valueAt(after, group, name))
      )
      const valuesOf = (config: Config) =>
        Object.fromEntries(
          changed.map(({ group, name, setting }) => [
            setting.env,
            shownValue(setting, valueAt(config, group, name))
          ])
        )
      await this.#options.audit.note(call, {
        action: 'settings.reload',
        subject: changed.map(({ setting }) => setting.env).join(', '),
        before: valuesOf(before),
        after: valuesOf(after)
      })
      return answer({
        need_restart: needRestart,
        warnings,
        sentence: sentenceOf(changed.length, needRestart)
      })
    } catch (cause) {
      if (!(cause instanceof GatewayError)) throw cause
      throw panelError('GW_FIELD_INVALID', `${cause.message}\nNothing was changed.`)
    }
  }

  #operations(): SettingsOperations {
    const operations = this.#options.operations()
    if (operations !== null) return operations
    throw panelError('GW_CONFLICT', 'The gateway is still starting. Try again shortly.')
  }
}

/** `null` where the file has a mistake: nothing of it waits for a restart then. */
function nextOf(operations: SettingsOperations): Config | null {
  try {
    return operations.next()
  } catch {
    return null
  }
}

function sentenceOf(changed: number, needRestart: readonly string[]): string {
  const done = changed === 0 ? 'Nothing has changed.' : `Settings reloaded: ${changed} changed.`
  if (needRestart.length === 0) return done
  const [wait, them] = needRestart.length === 1 ? ['waits', 'it'] : ['wait', 'them']
  return `${done} ${needRestart.join(', ')} ${wait} for a restart: restart the gateway to apply ${them}.`
}

function valueAt(config: Config, group: string, name: string): unknown {
  return Reflect.get(Reflect.get(config, group), name)
}

function isSame(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other)
}

/** Never a secret: these are only `set`, and users and passwords in addresses are hidden. */
function shownValue(setting: Setting<unknown>, value: unknown): string | null {
  const text = writeSetting(setting, value)
  if (text === '') return null
  if (setting.isSecret === true) return 'set'
  return text.replace(/\/\/[^/]*@/g, '//***@') // a password may contain @
}
