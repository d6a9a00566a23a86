import {
  appendFileSync,
  chownSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { FakeSignInServices } from '../helper/fake-sign-in-services.ts'
import { Simulator } from '../strict-simulator/simulator.ts'
import { missingLine, readGuide, type Step } from './guide-page.ts'
import { serveRegistry } from './package-registry.ts'
import { type BusyTerminal, type Reader, ReaderShell } from './reader-shell.ts'

/*
 * Does what a guide says, word by word: `run-guide.ts PAGE PACKAGES NPM`, on the machine of `machine.ts`. Prints what is typed and
 * what comes of it, and ends with 1 at the first thing that is not as the page says.
 *
 * In place of Kiro, AWS and npm's registry there are a strict simulator, sign-in services and the packages of this checkout, all
 * told by settings that are documented; in place of GitHub its commit, and of a cluster Kubernetes' schemas (`kubectl.ts`). `kgw_…` in a command is the key that was printed last, as a reader would copy it.
 */

const [, , path = '', packages = '', npm = ''] = process.argv
const ROOT = join(import.meta.dirname, '../..')
const STEP_MS = 600_000 // on a machine that may be busy
const POLL_MS = 100
const FOLDER = '/tmp/guide'
const UID = 4321

const guide = readGuide(readFileSync(path, 'utf8'))
const services = await new FakeSignInServices().listen()
const simulator = new Simulator({ gapMs: 5 })
const reader = await makeReader(guide.asRoot)
const shell = new ReaderShell(reader)
const terminals = new Map<string, BusyTerminal>()
/** The newest key that was printed. */
let key = 'kgw_…'

setInterval(confirmWhenAsked, POLL_MS).unref()
for (const step of guide.steps) {
  const problem = await follow(step).catch((cause: Error) => cause.message)
  if (problem === null) continue
  say(`\nNOT AS THE PAGE SAYS, line ${step.line}: ${problem}`)
  for (const [name, { lines }] of terminals) say(`\n[${name}]\n${lines.slice(-40).join('\n')}`)
  process.exit(1)
}
process.exit(0)

/** Makes somebody with an empty home, and what they reach the world by. */
async function makeReader(asRoot: boolean): Promise<Reader> {
  const [id, home] = asRoot ? [0, '/root/reader'] : [UID, '/home/reader']
  appendFileSync('/etc/passwd', `reader:x:${UID}:${UID}::/home/reader:/bin/bash\n`)
  appendFileSync('/etc/group', `reader:x:${UID}:\n`)
  appendFileSync('/etc/hosts', '127.0.0.1 localhost gateway.example.com\n')
  const own = join(home, '.local')
  for (const folder of [home, own, join(own, 'bin'), FOLDER]) {
    mkdirSync(folder, { recursive: true })
    chownSync(folder, id, id)
  }
  const programs = { node: process.execPath, npm, npx: npm.replace(/npm$/, 'npx') }
  for (const [name, target] of Object.entries(programs)) {
    const link = join('/usr/local/bin', name)
    rmSync(link, { force: true })
    symlinkSync(target, link)
  }
  const instead = `[url "${ROOT}"]\n\tinsteadOf = https://github.com/kiro-gateway/kiro-gateway\n`
  appendFileSync('/etc/gitconfig', `[safe]\n\tdirectory = *\n${instead}`)
  const kubectl = `exec node --no-warnings ${join(import.meta.dirname, 'kubectl.ts')} "$@"`
  writeFileSync('/usr/local/bin/kubectl', `#!/bin/sh\n${kubectl}\n`, { mode: 0o755 })
  const { url } = await simulator.start()
  const env = {
    PATH: `${join(own, 'bin')}:/usr/local/bin:/usr/sbin:/usr/bin:/bin`,
    HOME: home,
    USER: asRoot ? 'root' : 'reader',
    LANG: 'C.UTF-8',
    TERM: 'xterm',
    NO_COLOR: '1',
    npm_config_registry: await serveRegistry(packages),
    npm_config_prefix: own,
    npm_config_yes: 'true',
    npm_config_fund: 'false',
    npm_config_audit: 'false',
    npm_config_update_notifier: 'false',
    KIRO_API_URL: url,
    KIRO_OIDC_URL: services.url,
    KIRO_AUTH_URL: services.url
  }
  return { uid: id, gid: id, home, env, folder: FOLDER }
}

/** What somebody does who has the link and the code: a while later the sign-in is confirmed. */
function confirmWhenAsked(): void {
  if (services.callsTo('/token').length > 0) services.device = 'confirmed'
}

/** Resolves with what is not as the page says, or null. */
async function follow(step: Step): Promise<string | null> {
  for (const name of step.interrupts.flatMap((one) =>
    one === 'all' ? [...terminals.keys()] : one
  ))
    await terminals.get(name)?.interrupt()
  if (step.has !== '') {
    const problem = await runToItsEnd({ ...step, shown: null, mayFail: false }, told(step.has))
    if (problem !== null) return problem
  }
  if (step.notRun !== null) {
    say(`\n# line ${step.line} is not run here: ${step.notRun}`)
    return step.instead === null ? null : runToItsEnd({ ...step, shown: null }, told(step.instead))
  }
  const commands = step.commands.replaceAll('kgw_…', key)
  say(`\n# line ${step.line}\n$ ${commands.replaceAll('\n', '\n$ ')}`)
  const typed = { commands, answers: step.answers }
  return step.terminal === null
    ? runToItsEnd(step, typed)
    : keepOpen(step, { ...typed, name: step.terminal })
}

function told(commands: string): Typing {
  say(`\n# what the reader has\n$ ${commands.replaceAll('\n', '\n$ ')}`)
  return { commands, answers: '' }
}

interface Typing {
  readonly commands: string
  readonly answers: string
}

async function runToItsEnd(step: Step, typed: Typing): Promise<string | null> {
  const { lines, failed } = await shell.type(typed, STEP_MS)
  say(lines.join('\n'))
  key =
    lines
      .join('\n')
      .match(/kgw_[\w-]{20,}/g)
      ?.at(-1) ?? key
  if (failed.length > 0 && !step.mayFail) return `a command ended with ${failed.join(', ')}`
  if (failed.length === 0 && step.mayFail) return 'no command failed'
  return problemOf(step, lines)
}

async function keepOpen(
  step: Step,
  { name, ...typed }: Typing & { readonly name: string }
): Promise<string | null> {
  if (step.shown === null) return `the page does not show when ${name} is ready`
  const terminal = await shell.open(name, typed)
  terminals.set(name, terminal)
  const end = Date.now() + STEP_MS
  while (problemOf(step, terminal.lines) !== null && !terminal.hasEnded && Date.now() < end)
    await delay(POLL_MS)
  say(terminal.lines.join('\n'))
  return problemOf(step, terminal.lines)
}

function problemOf({ shown }: Step, lines: readonly string[]): string | null {
  const missing = shown === null ? null : missingLine(shown, lines)
  return missing === null ? null : `this is not shown: ${missing}`
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}
