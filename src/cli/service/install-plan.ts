import { existsSync, readFileSync, statSync } from 'node:fs'
import { chmod, chown } from 'node:fs/promises'
import { homedir } from 'node:os'
import path from 'node:path'
import { NO_CREDENTIALS } from '../../config/cross-checks.ts'
import { type Environment, loadConfig } from '../../config/load.ts'
import { readSettingsFile, settingSources } from '../../config/load-process.ts'
import { listSettings } from '../../config/setting-text.ts'
import type { Config } from '../../config/settings.ts'
import { lookForSource } from '../../credentials/usual-places.ts'
import { operatorError } from '../../shared/errors.ts'
import { makeFolder, replaceFile } from '../../shared/private-files.ts'
import type { CommandCall } from '../command.ts'
import { programHere, type RunningProgram } from '../installation.ts'
import { ACCOUNT, SYSTEM_PLACES } from './definition.ts'
import type { Programs } from './programs.ts'
import { isRoot } from './service-place.ts'
import type { ServiceFacts, InitSystem, ServiceStep } from './init-system.ts'
import { readInstalled } from './status.ts'

/** The service reads no shell, but these only shape what a terminal shows. */
const OF_THE_SHELL: ReadonlySet<string> = new Set(['NO_COLOR'])

export interface InstallPlan {
  readonly facts: ServiceFacts
  readonly config: Config
  /** Steps that give it its settings. */
  readonly settingSteps: readonly ServiceStep[]
  readonly notes: readonly string[]
  readonly isSignedIn: boolean
}

/** @throws {GatewayError} GW_CONFIG_INVALID if the service could not work, with what to do */
export async function planInstallation(
  call: CommandCall,
  manager: InitSystem,
  programs: Programs
): Promise<InstallPlan> {
  if (manager.isSystem && !isRoot() && call.values['print'] !== true)
    throw operatorError(
      'A system service is set up by root: sudo kiro-gateway service install --system'
    )
  const node = process.execPath
  const { entry, installation } = programHere()
  const notes = requireLastingProgram({ node, entry, installation }, manager.isSystem)
  const place = manager.isSystem ? systemPlace() : userPlace(call)
  const env = { ...place.env, NODE_ENV: 'production', HOME: place.home }
  const loaded = loadConfig(env, [], new Set(Object.keys(env)))
  if (loaded.name !== 'config') throw new Error('there are no settings')
  const isSignedIn = await canAnswer(loaded.config, place.home)
  if (!isSignedIn && !manager.isSystem) throw operatorError(NO_CREDENTIALS)
  const { folder, envFile } = place
  if ([node, entry, folder, envFile].some((one) => one?.includes('\n') === true))
    throw operatorError('A service cannot be set up from a folder with a line break in its name.')
  const isWanted = !manager.isSystem && call.values['no-linger'] !== true
  const hasEnabled = readInstalled(manager)?.facts?.lingers === true
  const lingers = isWanted && (hasEnabled || !(await manager.isLingering()))
  return {
    facts: { node, entry, folder, envFile, lingers },
    config: loaded.config,
    settingSteps: manager.isSystem ? await systemSettings(programs) : closedFile(place.file),
    notes: [...notes, ...loaded.warnings],
    isSignedIn
  }
}

export interface ProgramFiles extends RunningProgram {
  readonly node: string
}

/**
 * Returns what its user has to know about where the program is.
 * @throws {GatewayError} GW_CONFIG_INVALID if a service could not find it tomorrow, or not read it
 */
export function requireLastingProgram(
  { node, entry, installation }: ProgramFiles,
  isSystem: boolean
): readonly string[] {
  if (installation === 'npx') {
    throw operatorError(
      'npx keeps this program in a cache that npm may empty, so no service can run from it. Install it first:\n  npm install --global kiro-gateway\n  kiro-gateway service install'
    )
  }
  const hidden = [node, entry].find((file) => HIDDEN.some((folder) => file.startsWith(folder)))
  if (isSystem && hidden !== undefined) {
    throw operatorError(
      `A system service cannot read ${hidden}: it sees no home and no temporary folder. Install Node and kiro-gateway for all users (sudo npm install --global kiro-gateway), or set up a user service without --system.`
    )
  }
  const versioned = [node, entry].find((file) => VERSIONED.test(file))
  if (versioned === undefined) return []
  return [
    `${versioned} belongs to one version of Node. When you have changed to another one, run "kiro-gateway service install" again.`
  ]
}

const HIDDEN = ['/home/', '/root/', '/run/user/', '/tmp/', '/var/tmp/']
/** Folders of nvm, fnm, volta, asdf, mise and the like. */
const VERSIONED = /\/(?:\.nvm|\.volta|\.asdf|fnm|mise|n|nodenv|\.nodenv)\/.*\d+\.\d+/

interface SettingsPlace {
  readonly env: Environment
  readonly home: string
  readonly folder: string
  readonly envFile: string | null
  /** `null` if there is none. */
  readonly file: string | null
}

/** @throws {GatewayError} GW_CONFIG_INVALID for settings that only this shell has */
function userPlace(call: CommandCall): SettingsPlace {
  const folder = process.cwd()
  const ruling = call.env['ENV_FILE']
  const file = path.resolve(ruling ?? '.env')
  const sources = settingSources([], '.env')
  const names = listSettings().map(({ setting }) => setting.env)
  const lost = names.filter((name) => sources.of(name) === 'environment' && !OF_THE_SHELL.has(name))
  if (lost.length > 0) {
    throw operatorError(
      `${lost.join(', ')}: set in this shell alone, which the service does not see. Write ${lost.length === 1 ? 'it' : 'them'} into ${file}, or unset ${lost.length === 1 ? 'it' : 'them'}.`
    )
  }
  return {
    env: call.env,
    home: homedir(),
    folder,
    envFile: ruling === undefined ? null : file,
    file: existsSync(file) ? file : null
  }
}

/** The settings that it has or, before its first installation, those of the working folder. */
function systemPlace(): SettingsPlace {
  const { settings, state } = SYSTEM_PLACES
  const first = existsSync(settings) ? settings : '.env'
  return {
    env: { ...readSettingsFile(first, state), STATE_DIR: state },
    home: '/nonexistent',
    folder: state,
    envFile: settings,
    file: settings
  }
}

async function canAnswer({ credentials }: Config, home: string): Promise<boolean> {
  if (credentials.isKeyPassthrough || credentials.isLoginWanted) return true
  const log = { info: () => {}, warn: () => {} }
  return (await lookForSource(credentials, { log, home })).source !== null
}

function closedFile(file: string | null): readonly ServiceStep[] {
  if (file === null || (statSync(file).mode & 0o077) === 0) return []
  return [
    {
      what: `chmod 600 ${file}   (it may hold secrets, and others could read it)`,
      run: () => chmod(file, 0o600)
    }
  ]
}

/** Gives the account settings of its own, which it alone can read, or those that root has written. */
async function systemSettings(programs: Programs): Promise<readonly ServiceStep[]> {
  const { settings } = SYSTEM_PLACES
  const folder = path.dirname(settings)
  if (existsSync(settings)) {
    if (await canRead(programs, [folder, settings])) return []
    return [
      {
        what: `chown ${ACCOUNT} ${folder} ${settings}   (the service reads it as this user)`,
        run: async () => {
          const { uid, gid } = await accountIds(programs)
          for (const one of [folder, settings]) await chown(one, uid, gid)
          await chmod(settings, 0o600)
        }
      }
    ]
  }
  const isCopied = existsSync('.env')
  const text = isCopied ? readFileSync('.env') : FIRST_SETTINGS
  return [
    {
      what: `Writes ${settings}, which only ${ACCOUNT} can read${isCopied ? `, as a copy of ${path.resolve('.env')}` : ''}`,
      run: async () => {
        const owner = await accountIds(programs)
        await makeFolder(folder)
        await chown(folder, owner.uid, owner.gid)
        await replaceFile(settings, { text, mode: 0o600, isDurable: true, owner })
      }
    }
  ]
}

async function accountIds(programs: Programs) {
  const words = await Promise.all(['-u', '-g'].map((flag) => programs.require('id', flag, ACCOUNT)))
  const [uid = 0, gid = 0] = words.map(Number)
  return { uid, gid }
}

/** False before there is an account. */
async function canRead(programs: Programs, places: readonly string[]): Promise<boolean> {
  const { code } = await programs.run('id', ACCOUNT)
  if (code !== 0) return false
  const { uid, gid } = await accountIds(programs)
  return places.every((place) => {
    const facts = statSync(place)
    const needed = facts.isDirectory() ? 0o111 : 0o444
    const given = facts.uid === uid ? 0o700 : facts.gid === gid ? 0o070 : 0o007
    return (facts.mode & needed & given) !== 0
  })
}

const FIRST_SETTINGS = `# Settings of the service. "kiro-gateway --help settings" lists them; "systemctl reload kiro-gateway" reads them again.
# PROXY_API_KEY=
`
