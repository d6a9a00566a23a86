import { crossCheck } from '../config/cross-checks.ts'
import { configInvalid, toSettings } from '../config/load.ts'
import { listSettings } from '../config/setting-text.ts'
import type { Config } from '../config/settings.ts'

/** A new config on top of the running one. */
export interface Reload {
  readonly config: Config
  /** Names of settings that differ and take effect with the next start only. */
  readonly needRestart: readonly string[]
}

/**
 * Takes from `next` what can change while the gateway runs, and names what can't (`restart` in `settings.ts`).
 *
 * @throws {GatewayError} GW_CONFIG_INVALID when what stays and what is new are wrong together, such as a public
 *   address and no client key.
 */
export function reload(running: Config, next: Config): Reload {
  const tree: Record<string, Record<string, unknown>> = {}
  const needRestart: string[] = []
  for (const { group, name, setting } of listSettings()) {
    const [before, after] = [running, next].map((config) => valueAt(config, group, name))
    const isFixed = setting.restart === true
    if (isFixed && JSON.stringify(before) !== JSON.stringify(after)) needRestart.push(setting.env)
    const values = (tree[group] ??= {})
    values[name] = isFixed ? before : after
  }
  const config = { ...toSettings(tree), isProduction: running.isProduction }
  const problems = crossCheck(config).problems.map(({ sentence }) => sentence)
  if (problems.length > 0) throw configInvalid(problems)
  return { config, needRestart }
}

function valueAt(config: Config, group: string, name: string): unknown {
  return Reflect.get(Reflect.get(config, group), name)
}
