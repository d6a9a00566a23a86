import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { operatorError } from '../../shared/errors.ts'
import { type CommandCall, UsageError } from '../command.ts'
import { programHere, type RunningProgram } from '../installation.ts'
import { Launchd } from './launchd.ts'
import { Programs } from './programs.ts'
import type { InitSystem } from './init-system.ts'
import { isSystemdRunning, Systemd } from './systemd.ts'

export interface ServicePlace {
  readonly manager: InitSystem
  readonly programs: Programs
}

/** Finds what looks after services here. @throws {GatewayError} GW_CONFIG_INVALID on a system without systemd and launchd */
export function initSystem(call: CommandCall): ServicePlace {
  const { values, env, signal } = call
  const home = homedir()
  const wantsSystem = values['system'] === true
  const programs = new Programs(busOf(env), signal)
  if (process.platform === 'darwin') {
    if (wantsSystem)
      throw new UsageError('--system is for Linux: on macOS it is an agent of the user')
    return { programs, manager: new Launchd({ programs, home }) }
  }
  if (process.platform !== 'linux' || !isSystemdRunning())
    throw operatorError(elsewhere(programHere()))
  const user = new Systemd({ programs, isSystem: false, home })
  const system = new Systemd({ programs, isSystem: true, home })
  if (wantsSystem || isRoot()) return { programs, manager: system }
  const isThere = !existsSync(user.file) && existsSync(system.file)
  const manager = isThere && call.positionals[0] !== 'install' ? system : user
  return { programs, manager }
}

export function isRoot(): boolean {
  return process.getuid?.() === 0
}

/** Returns where the systemd of a user listens: `su` loses that. */
function busOf({ XDG_RUNTIME_DIR, DBUS_SESSION_BUS_ADDRESS }: CommandCall['env']) {
  const usual = `/run/user/${process.getuid?.() ?? 0}`
  const folder = XDG_RUNTIME_DIR ?? (existsSync(usual) ? usual : undefined)
  return {
    ...(folder !== undefined && { XDG_RUNTIME_DIR: folder }),
    ...(DBUS_SESSION_BUS_ADDRESS !== undefined && { DBUS_SESSION_BUS_ADDRESS })
  }
}

/** Says what another supervisor has to do. */
export function elsewhere({ entry, installation }: RunningProgram): string {
  if (installation === 'image') {
    return 'A container is kept running by its engine: start it with "docker run --restart unless-stopped", or with docker/docker-compose.deploy.yml.'
  }
  const system =
    process.platform === 'win32' ? 'On Windows' : 'On this system, which does not run systemd,'
  return `${system} no service is set up. ${installation === 'npx' ? NPX_FIRST : 'Have'} its own supervisor run this command in this folder, as your user:
  ${installation === 'npx' ? 'kiro-gateway' : `${process.execPath} ${entry}`}
  in ${process.cwd()}, with NODE_ENV=production in its environment
SIGTERM ends it after its streams, at most DRAIN_TIMEOUT; SIGHUP reads the settings again. Start it again after every exit code but 0, 2 and 78.`
}

/** The cache of npx may be empty tomorrow. */
const NPX_FIRST = `npx keeps this program in a cache that npm may empty, so install it first:
  npm install --global kiro-gateway
Then have`
