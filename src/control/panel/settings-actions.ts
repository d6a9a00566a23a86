import type { SettingSource } from '../../config/load-process.ts'
import { listSettings, settingValue } from '../../config/setting-text.ts'
import type { Config } from '../../config/settings.ts'
import type { PanelAnswer, PanelCall } from '../../ipc/panel.ts'
import { GatewayError, messageOf } from '../../shared/errors.ts'
import type { AuditActions } from './audit-actions.ts'
import { answer, panelError } from './panel-answer.ts'
import { changedSettings, failedReload, isSame, reloadChange, shownValue } from './reload-change.ts'

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
    const { config: next, problem } = nextOf(operations)
    const { of, file } = operations.sources()
    const settings = listSettings().map(({ group, name, setting }) => {
      const value = shownValue(setting, settingValue(config, group, name))
      const later = next === null ? value : shownValue(setting, settingValue(next, group, name))
      const isChanged =
        next !== null && !isSame(settingValue(config, group, name), settingValue(next, group, name))
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
    return answer({ settings, file, problem })
  }

  async reload(call: PanelCall): Promise<PanelAnswer> {
    const { audit, config } = this.#options
    const before = config()
    try {
      const { needRestart, warnings } = this.#operations().reload()
      const after = config()
      await audit.note(call, reloadChange(before, after))
      const sentence = sentenceOf(changedSettings(before, after).length, needRestart)
      return answer({ need_restart: needRestart, warnings, sentence })
    } catch (cause) {
      if (!(cause instanceof GatewayError) || cause.code !== 'GW_CONFIG_INVALID') throw cause
      await audit.note(call, failedReload(cause.message))
      throw panelError('GW_FIELD_INVALID', `${cause.message}\nNothing was changed.`)
    }
  }

  #operations(): SettingsOperations {
    const operations = this.#options.operations()
    if (operations !== null) return operations
    throw panelError('GW_CONFLICT', 'The gateway is still starting. Try again shortly.')
  }
}

/** Without a config where the file has a mistake: nothing of it waits for a restart then. */
function nextOf(operations: SettingsOperations): {
  readonly config: Config | null
  /** Reason for which a reload would be refused. */
  readonly problem: string | null
} {
  try {
    return { config: operations.next(), problem: null }
  } catch (cause) {
    return { config: null, problem: messageOf(cause) }
  }
}

function sentenceOf(changed: number, needRestart: readonly string[]): string {
  const done = changed === 0 ? 'Nothing has changed.' : `Settings reloaded: ${changed} changed.`
  if (needRestart.length === 0) return done
  const [wait, them] = needRestart.length === 1 ? ['waits', 'it'] : ['wait', 'them']
  return `${done} ${needRestart.join(', ')} ${wait} for a restart: restart the gateway to apply ${them}.`
}
