import { listSettings, settingValue, writeSetting } from '../../config/setting-text.ts'
import type { Setting } from '../../config/setting.ts'
import type { Config } from '../../config/settings.ts'
import type { Changer, PanelChange } from './audit-note.ts'

/** Signal of the system that has the settings read again, without a call of the panel. */
export const SIGNAL: Changer = { name: 'signal', via: 'SIGHUP', address: 'this machine' }

const MAX_REASON_CHARS = 1_000

/** Entry of the audit log for a reload: what is another value now. */
export function reloadChange(before: Config, after: Config): PanelChange {
  const changed = changedSettings(before, after)
  const valuesOf = (config: Config) =>
    Object.fromEntries(
      changed.map(({ group, name, setting }) => [
        setting.env,
        shownValue(setting, settingValue(config, group, name))
      ])
    )
  return {
    action: 'settings.reload',
    subject: changed.map(({ setting }) => setting.env).join(', '),
    before: valuesOf(before),
    after: valuesOf(after)
  }
}

/** Entry of the audit log for a reload that has changed nothing because of a mistake. */
export function failedReload(reason: string): PanelChange {
  return {
    action: 'settings.reload.failed',
    subject: '',
    after: { reason: reason.slice(0, MAX_REASON_CHARS) }
  }
}

export function changedSettings(before: Config, after: Config) {
  return listSettings().filter(
    ({ group, name }) =>
      !isSame(settingValue(before, group, name), settingValue(after, group, name))
  )
}

export function isSame(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other)
}

/** Never a secret: these are only `set`, and users and passwords in addresses are hidden. */
export function shownValue(setting: Setting<unknown>, value: unknown): string | null {
  const text = writeSetting(setting, value)
  if (text === '') return null
  if (setting.isSecret === true) return 'set'
  return text.replace(/\/\/[^/]*@/g, '//***@') // a password may contain @
}
