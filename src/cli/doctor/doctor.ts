import { inspectConfig } from '../../config/load.ts'
import {
  type Command,
  type CommandCall,
  EXIT_FAILED,
  EXIT_OK,
  type Terminal,
  UsageError
} from '../command.ts'
import { accountCheck, signInCheck } from './checks/account-check.ts'
import { type Check, Checkup, runChecks } from './checks/checkup.ts'
import { diskCheck } from './checks/disk-check.ts'
import { filesCheck } from './checks/files-check.ts'
import { clockCheck, hostsCheck, proxyCheck } from './checks/hosts-check.ts'
import { secretsOfSignIn } from './checks/known-sign-in.ts'
import { limitsCheck } from './checks/limits-check.ts'
import { portCheck } from './checks/port-check.ts'
import { envFileOf, namesIn, programCheck, settingsCheck } from './checks/settings-check.ts'
import { askProbes, requireConsent } from './probe/ask-probes.ts'
import {
  cleaner,
  cleanRun,
  probeLines,
  reportLines,
  secretsOfSettings,
  toReport
} from './report.ts'

export const CHECKS: readonly Check[] = [
  programCheck,
  settingsCheck,
  filesCheck,
  diskCheck,
  limitsCheck,
  portCheck,
  proxyCheck,
  hostsCheck,
  clockCheck,
  signInCheck,
  accountCheck
]

export const doctor: Command = {
  name: 'doctor',
  summary: 'Checks this installation and says what to change.',
  usage:
    'kiro-gateway doctor [--json]\nkiro-gateway doctor --probe [--yes] [--idle SECONDS] [--json]',
  options: {
    probe: { type: 'boolean' },
    yes: { type: 'boolean', short: 'y' },
    idle: { type: 'string' }
  },
  help: `Checks settings, files, limits, the port, proxies, hosts, the clock, the sign-in and the account, all at once and
for 20 seconds at most. It changes nothing, and costs no credits without --probe.
The output contains no secrets and is safe to put into a bug report. docs/doctor.md explains each finding.

  --probe            Also tests how the upstream treats this account, with about 14 small requests two seconds apart that
                     cost a few credits. Stops at the first sign that the upstream suspects abuse.
  --yes              Does not ask for confirmation first.
  --idle SECONDS     Also tests how long an idle connection stays open, up to this limit (1 to 300).`,
  exitCodes: [
    { code: EXIT_OK, meaning: 'no problem; warnings are possible' },
    { code: EXIT_FAILED, meaning: 'at least one problem, or `--probe` was stopped' }
  ],
  async run(call) {
    const { terminal, signal, env, isJson, positionals } = call
    if (positionals.length > 0) throw new UsageError(`"${positionals[0]}" is not an option`)
    if (call.values['probe'] === true) requireConsent(call)
    else if (call.values['idle'] !== undefined) throw new UsageError('--idle needs --probe')
    const fileNames = new Set(namesIn(envFileOf(env)))
    await using checkup = new Checkup({ ...inspectConfig(env, fileNames), env, signal })
    const results = await runChecks(CHECKS, checkup, (running) => showProgress(call, running))
    const clean = cleaner([...secretsOfSettings(env), ...secretsOfSignIn(checkup.knownSignIn)])
    const report = toReport(results, clean)
    if (!isJson) writeLines(terminal, reportLines(report))
    const asked = call.values['probe'] === true ? await askProbes(call, checkup) : null
    const probes = asked === null ? null : cleanRun(asked, clean)
    if (isJson) terminal.write(JSON.stringify({ ...report, ...(probes && { probes }) }))
    else if (probes !== null) writeLines(terminal, probeLines(probes))
    const isStopped = probes !== null && probes.stopped !== null
    return report.level === 'problem' || isStopped ? EXIT_FAILED : EXIT_OK
  }
}

function writeLines(terminal: Terminal, lines: readonly string[]): void {
  for (const line of lines) terminal.write(line)
}

function showProgress({ terminal }: CommandCall, running: readonly Check[]): void {
  const names = running.map(({ id }) => id).join(', ')
  if (running.length > 0) terminal.progress(`Checking ${names} …`)
}
