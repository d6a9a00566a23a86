import { operatorError } from '../../shared/errors.ts'
import type { Config } from '../../config/settings.ts'
import { type CommandCall, EXIT_FAILED, EXIT_OK, type Terminal } from '../command.ts'
import { gatewayUrl } from '../setup/gateway.ts'
import { textDiff } from '../setup/text-diff.ts'
import { ACCOUNT, SYSTEM_PLACES } from './definition.ts'
import { requirePort, waitForStart } from './health.ts'
import { planInstallation } from './install-plan.ts'
import type { Programs } from './programs.ts'
import { lastRows } from './shown-log.ts'
import { definitionStep } from './steps.ts'
import type { InitSystem, ServiceFacts, ServiceStep } from './init-system.ts'
import {
  describe,
  type InstalledService,
  readInstalled,
  requireInstalled,
  settingsOfService,
  settingsPath
} from './status.ts'
import { asService } from './systemd.ts'

export async function install(
  call: CommandCall,
  manager: InitSystem,
  programs: Programs
): Promise<number> {
  const { terminal } = call
  const plan = await planInstallation(call, manager, programs)
  const installed = readInstalled(manager)
  const text = manager.define(plan.facts)
  const isSame = installed?.text === text
  const steps = [
    ...(await manager.preparing(plan.facts)),
    ...plan.settingSteps,
    ...(isSame ? [] : [definitionStep(manager.file, text)]),
    ...(isSame ? [] : await manager.enabling(plan.facts))
  ]
  if (call.values['print'] === true) return print(terminal, steps)
  const { name } = await manager.state()
  const isRunning = name === 'running'
  if (steps.length === 0 && isRunning) {
    terminal.write('The service is already installed like this, and runs.')
    return EXIT_OK
  }
  await requirePort(plan.config, manager)
  tellChange(terminal, installed, text)
  const last = plan.isSignedIn ? [isRunning ? 'Restarts the service' : 'Starts the service'] : []
  if (!(await agree(call, `kiro-gateway becomes ${manager.title}:`, [...steps, ...last])))
    return EXIT_FAILED
  for (const note of plan.notes) terminal.note(note)
  await take(terminal, steps)
  if (!plan.isSignedIn) {
    for (const line of signInFirst(plan.facts)) terminal.write(line)
    return EXIT_OK
  }
  await (isRunning ? manager.restart() : manager.start())
  return tellStart(call, manager, plan.config)
}

function signInFirst({ entry }: ServiceFacts): readonly string[] {
  return [
    `Installed, but not started, as it has no Kiro sign-in. Put KIRO_API_KEY into ${SYSTEM_PLACES.settings}, or let root sign in as its user:`,
    `  ${asService('login', entry)}`,
    'Then start it: sudo kiro-gateway service start'
  ]
}

function print(terminal: Terminal, steps: readonly ServiceStep[]): number {
  if (steps.length === 0) terminal.write('The service is already installed like this.')
  for (const { what, text = '' } of steps) {
    terminal.write(what)
    if (text !== '') terminal.write(`${text.trimEnd().replaceAll(/^(?=.)/gm, '  ')}\n`)
  }
  return EXIT_OK
}

function tellChange(terminal: Terminal, installed: InstalledService | null, text: string): void {
  if (installed === null || installed.text === text) return
  terminal.note('The service was installed differently. What changes:')
  for (const line of textDiff(installed.text, text, [])) terminal.note(`  ${line}`)
}

async function agree(
  { terminal, values }: CommandCall,
  heading: string,
  steps: readonly (ServiceStep | string)[]
): Promise<boolean> {
  terminal.note(heading)
  for (const step of steps) terminal.note(`  ${typeof step === 'string' ? step : step.what}`)
  if (values['yes'] === true || steps.length === 0 || (await terminal.confirm('Do this?')))
    return true
  terminal.note('Nothing was changed.')
  return false
}

async function take(terminal: Terminal, steps: readonly ServiceStep[]): Promise<void> {
  for (const step of steps) await step.run((line) => terminal.note(line))
}

export async function start(call: CommandCall, manager: InitSystem): Promise<number> {
  const config = settingsOfService(requireInstalled(manager).facts)
  if ((await manager.state()).name === 'running') {
    call.terminal.write('The service runs already.')
    return EXIT_OK
  }
  if (config !== null) await requirePort(config, manager)
  await manager.start()
  return tellStart(call, manager, config)
}

export async function restart(call: CommandCall, manager: InitSystem): Promise<number> {
  const config = settingsOfService(requireInstalled(manager).facts)
  if (config !== null) await requirePort(config, manager)
  await manager.restart()
  return tellStart(call, manager, config)
}

/** Says how the start went and, if it failed, why. `config` is `null` if this user may not read the settings. */
async function tellStart(
  { terminal, signal }: CommandCall,
  manager: InitSystem,
  config: Config | null
): Promise<number> {
  if (config === null) {
    terminal.write('Started. "kiro-gateway service status" says how it is.')
    return EXIT_OK
  }
  terminal.progress('Starting …')
  const outcome = await waitForStart(manager, config, signal)
  if (outcome.name === 'serving') {
    const { verdict } = outcome
    const where = config.server.port === 0 ? '' : ` at ${gatewayUrl(null, config)}`
    const how = verdict === null || verdict.isReady ? '' : `, but is ${verdict.text}`
    terminal.write(`The service runs${where}${how}. It starts ${await manager.whenStarted()}.`)
    return EXIT_OK
  }
  const rows = await lastRows(manager, LAST_ROWS)
  if (outcome.name === 'silent') {
    terminal.note(`The service does not answer yet (${describe(outcome.state)}). Its last lines:`)
  } else {
    await manager.stop().catch(() => {}) // it would be tried again and again; it may have given up already
    terminal.note(
      `The service does not start (${describe(outcome.state)}), so it is stopped. Its last lines:`
    )
  }
  for (const row of rows) terminal.note(`  ${row}`)
  terminal.note('Correct this, then run: kiro-gateway service start')
  return EXIT_FAILED
}

const LAST_ROWS = 12

export async function stop(call: CommandCall, manager: InitSystem): Promise<number> {
  requireInstalled(manager)
  call.terminal.progress('Stopping: running answers may end first …')
  await manager.stop()
  call.terminal.write(
    `Stopped. It starts again ${await manager.whenStarted()}; "kiro-gateway service uninstall" removes it.`
  )
  return EXIT_OK
}

export async function reloadService(call: CommandCall, manager: InitSystem): Promise<number> {
  requireInstalled(manager)
  await manager.reload()
  call.terminal.write(
    'The service reads its settings again. "kiro-gateway service logs" says what came of it.'
  )
  return EXIT_OK
}

export async function uninstall(call: CommandCall, manager: InitSystem): Promise<number> {
  const { terminal } = call
  const found = readInstalled(manager)
  if (found === null) {
    terminal.write('The service is not installed.')
    return EXIT_OK
  }
  const { facts } = found
  if (manager.isSystem && process.getuid?.() !== 0)
    throw operatorError('A system service is removed by root: sudo kiro-gateway service uninstall')
  const steps = await manager.removing(facts)
  if (call.values['print'] === true) return print(terminal, steps)
  if (!(await agree(call, 'The service is stopped and removed:', steps))) return EXIT_FAILED
  const state = settingsOfService(facts)?.credentials.stateDir ?? null
  await take(terminal, steps)
  terminal.write('The service is removed. These stay, as they are yours:')
  const stays = manager.isSystem
    ? [
        SYSTEM_PLACES.settings,
        `${SYSTEM_PLACES.state}   (sign-in, keys, usage)`,
        `the user ${ACCOUNT}, who owns them: sudo userdel ${ACCOUNT}`
      ]
    : [
        ...(facts === null ? [] : [settingsPath(facts)]),
        ...(state === null ? [] : [`${state}   (sign-in, keys, usage)`])
      ]
  for (const one of stays) terminal.write(`  ${one}`)
  return EXIT_OK
}
