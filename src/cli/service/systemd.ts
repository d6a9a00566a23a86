import { existsSync } from 'node:fs'
import { readdir, rmdir } from 'node:fs/promises'
import { userInfo } from 'node:os'
import path from 'node:path'
import { operatorError } from '../../shared/errors.ts'
import { programName } from '../../shared/program-name.ts'
import { ACCOUNT, FINAL_EXITS, SYSTEM_PLACES, systemdUnit } from './definition.ts'
import type { Programs } from './programs.ts'
import { programStep, removalStep } from './steps.ts'
import type {
  LineReader,
  LogQuery,
  ServiceFacts,
  InitSystem,
  ServiceState,
  ServiceStep
} from './init-system.ts'

const UNIT = 'kiro-gateway.service'
export const SYSTEM_UNIT = `/etc/systemd/system/${UNIT}`
const SHOWN =
  'ActiveState,SubState,MainPID,ExecMainCode,ExecMainStatus,NRestarts,ActiveEnterTimestamp,InvocationID'

/**
 * Returns how root runs a command as the system service's user, with the service's settings and state. The program is named
 * from the service's folder: from there, the path of a clone is another one.
 */
export function asService(command: string, entry: string): string {
  const { state, settings } = SYSTEM_PLACES
  const program = programName({ entry, cwd: state })
  return `runuser -u ${ACCOUNT} -- env --chdir=${state} STATE_DIR=${state} ENV_FILE=${settings} ${program} ${command}`
}

export interface SystemdOptions {
  readonly programs: Programs
  readonly isSystem: boolean
  readonly home: string
}

export class Systemd implements InitSystem {
  readonly isSystem: boolean
  readonly file: string
  readonly #programs: Programs

  constructor({ programs, isSystem, home }: SystemdOptions) {
    this.#programs = programs
    this.isSystem = isSystem
    this.file = isSystem ? SYSTEM_UNIT : path.join(home, '.config/systemd/user', UNIT)
  }

  get title(): string {
    return this.isSystem ? 'a systemd system service' : 'a systemd user service'
  }

  define(facts: ServiceFacts): string {
    return systemdUnit(facts, this.isSystem)
  }

  async preparing(): Promise<readonly ServiceStep[]> {
    if (!this.isSystem) {
      await this.#requireUserManager()
      return []
    }
    const { code } = await this.#programs.run('getent', 'passwd', ACCOUNT)
    const words = ['--system', '--user-group', '--home-dir', '/nonexistent', '--shell', NO_SHELL]
    const owner = ['--owner', ACCOUNT, '--group', ACCOUNT, '--mode', '700']
    const { state } = SYSTEM_PLACES
    return [
      ...(code === 0 ? [] : [programStep(this.#programs, 'useradd', ...words, ACCOUNT)]),
      // systemd makes it with the first start, which is after the sign-in.
      ...(existsSync(state)
        ? []
        : [programStep(this.#programs, 'install', '--directory', ...owner, state)])
    ]
  }

  async enabling({ lingers }: ServiceFacts): Promise<readonly ServiceStep[]> {
    return [
      this.#control('daemon-reload'),
      this.#control('enable', '--quiet', UNIT),
      ...(lingers && !(await this.isLingering()) ? [this.#linger('enable-linger')] : [])
    ]
  }

  async removing(facts: ServiceFacts | null): Promise<readonly ServiceStep[]> {
    if (!this.isSystem) await this.#requireUserManager()
    const reset = this.#systemctl('reset-failed', UNIT)
    return [
      this.#control('disable', '--quiet', '--now', UNIT),
      ...(facts?.lingers === true ? [this.#linger('disable-linger')] : []),
      removalStep(this.file),
      this.#control('daemon-reload'),
      // Refused where it has not failed.
      { what: reset.join(' '), run: () => this.#programs.run(...reset) },
      this.isSystem
        ? removalStep(SYSTEM_PLACES.cache)
        : { what: 'Removes empty folders of systemd', run: () => this.#removeEmptyFolders() }
    ]
  }

  async start(): Promise<void> {
    // Else a service that failed too often is refused for minutes.
    await this.#programs.run(...this.#systemctl('reset-failed', UNIT))
    await this.#programs.require(...this.#systemctl('start', UNIT))
  }

  async restart(): Promise<void> {
    await this.#programs.run(...this.#systemctl('reset-failed', UNIT))
    await this.#programs.require(...this.#systemctl('restart', UNIT))
  }

  async stop(): Promise<void> {
    await this.#programs.require(...this.#systemctl('stop', UNIT))
  }

  async reload(): Promise<void> {
    await this.#programs.require(...this.#systemctl('reload', UNIT))
  }

  async state(): Promise<ServiceState> {
    return toState(await this.#show())
  }

  async whenStarted(): Promise<string> {
    const isEnabled = (await this.#programs.run(...this.#systemctl('is-enabled', UNIT))).code === 0
    if (!isEnabled) return 'only by hand: it is disabled'
    if (this.isSystem) return 'at boot'
    return (await this.isLingering())
      ? 'at boot (lingering is on)'
      : 'when you sign in to this machine, and ends with your last session'
  }

  async lastLines(count: number): Promise<readonly string[]> {
    const { InvocationID: run = '' } = await this.#show()
    const match = run === '' ? this.#ofUnit() : [`_SYSTEMD_INVOCATION_ID=${run}`]
    const words = [...match, '--output=cat', '--no-pager', '--quiet', `--lines=${count}`]
    const { stdout } = await this.#programs.run('journalctl', ...words)
    return stdout.split('\n').filter((line) => line !== '')
  }

  logs({ follows, since }: LogQuery, reader: LineReader): Promise<void> {
    const shown = since === null ? '--lines=100' : `--since=${sinceOf(since)}`
    const words = [...this.#ofUnit(), '--output=cat', '--no-pager', shown]
    return this.#programs.follow(['journalctl', ...words, ...(follows ? ['--follow'] : [])], reader)
  }

  async #show(): Promise<Readonly<Record<string, string>>> {
    const text = await this.#programs.require(
      ...this.#systemctl('show', UNIT, `--property=${SHOWN}`)
    )
    return Object.fromEntries(
      text.split('\n').map((line) => {
        const at = line.indexOf('=')
        return [line.slice(0, at), line.slice(at + 1)]
      })
    )
  }

  async #requireUserManager(): Promise<void> {
    const { code, stderr } = await this.#programs.run('systemctl', '--user', 'show-environment')
    if (code === 0) return
    throw operatorError(
      `The systemd of this user does not answer (${stderr.trim().split('\n')[0]}). Sign in to this machine directly, as by SSH, instead of with su or sudo, or set up a system service: sudo kiro-gateway service install --system`
    )
  }

  async isLingering(): Promise<boolean> {
    if (this.isSystem) return false
    const { username } = userInfo()
    const words = ['show-user', username, '--property=Linger', '--value']
    const { stdout } = await this.#programs.run('loginctl', ...words)
    return stdout.trim() === 'yes'
  }

  #linger(verb: 'enable-linger' | 'disable-linger'): ServiceStep {
    const { username } = userInfo()
    const isEnabling = verb === 'enable-linger'
    const why = isEnabling
      ? 'starts your services at boot and keeps them after you sign out'
      : 'was enabled for this service'
    const left = isEnabling
      ? 'This user may not enable lingering, without which the service runs only while you are signed in. Have root do it:'
      : 'This user may not disable lingering, which was enabled for the service. Have root do it:'
    return {
      what: `loginctl ${verb} ${username}   (${why})`,
      run: async (note) => {
        const words = ['--no-ask-password', verb, username]
        const { code } = await this.#programs.run('loginctl', ...words)
        if (code !== 0) note(`${left}\n  sudo loginctl ${verb} ${username}`)
      }
    }
  }

  /** Folders that `enable` and this program have made, up to the configuration of the user. */
  async #removeEmptyFolders(): Promise<void> {
    const folder = path.dirname(this.file)
    const wants = await readdir(folder).catch(() => [])
    const inner = wants.filter((name) => name.endsWith('.wants')).map((name) => `${folder}/${name}`)
    const above = path.dirname(folder)
    for (const one of [...inner, folder, above, path.dirname(above)])
      await rmdir(one).catch(() => {}) // something else is in it
  }

  #control(...words: readonly string[]): ServiceStep {
    return programStep(this.#programs, ...this.#systemctl(...words))
  }

  #systemctl(...words: readonly string[]): [string, ...string[]] {
    return ['systemctl', ...(this.isSystem ? [] : ['--user']), ...words]
  }

  #ofUnit(): readonly string[] {
    return [this.isSystem ? `--unit=${UNIT}` : `--user-unit=${UNIT}`]
  }
}

const NO_SHELL = '/usr/sbin/nologin'

/** Returns whether systemd is the first process of this machine. */
export function isSystemdRunning(): boolean {
  return existsSync('/run/systemd/system')
}

/** `10m` and the like are an age; journalctl knows the rest. */
export function sinceOf(text: string): string {
  return /^\d+[smhd]$/.test(text) ? `-${text}` : text
}

/** Reads properties of `systemctl show`. */
export function toState(shown: Readonly<Record<string, string>>): ServiceState {
  const { ActiveState, SubState, MainPID, NRestarts, ActiveEnterTimestamp } = shown
  const pid = Number(MainPID)
  const since = Date.parse((ActiveEnterTimestamp ?? '').replace(/^\w+ /, ''))
  return {
    name: nameOf(ActiveState ?? '', SubState ?? ''),
    pid: pid > 0 ? pid : null,
    since: ActiveState === 'active' && Number.isFinite(since) ? new Date(since) : null,
    restarts: /^\d+$/.test(NRestarts ?? '') ? Number(NRestarts) : null,
    lastExit: lastExitOf(shown),
    isCrashLoop: ActiveState === 'failed' && Number(NRestarts) > 0 && !isForgiven(shown)
  }
}

function nameOf(active: string, sub: string): ServiceState['name'] {
  if (sub === 'auto-restart' || sub === 'auto-restart-queued') return 'starting'
  if (active === 'active' || active === 'reloading') return 'running'
  if (active === 'activating') return 'starting'
  if (active === 'deactivating') return 'stopping'
  return active === 'failed' ? 'failed' : 'stopped'
}

/** Not followed by another start, so that it is not a crash. */
function isForgiven({ ExecMainCode, ExecMainStatus }: Readonly<Record<string, string>>): boolean {
  return ExecMainCode === EXITED && FINAL_EXITS.has(Number(ExecMainStatus))
}

const EXITED = '1'

/** Codes of `waitid()`: 1 ended by itself, 2 and 3 by a signal. */
function lastExitOf({ ExecMainCode, ExecMainStatus }: Readonly<Record<string, string>>) {
  if (ExecMainCode === EXITED) return `exit code ${ExecMainStatus}`
  return ExecMainCode === '2' || ExecMainCode === '3' ? `signal ${ExecMainStatus}` : null
}
