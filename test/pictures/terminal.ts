import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Browser, findChromium, NO_CHROMIUM } from '../helper/chromium.ts'
import { bundledProgram } from '../helper/program.ts'
import { ShownGateway } from '../helper/shown-gateway.ts'

/*
 * Pictures of the terminal, to be looked at: real commands in a terminal of 80 and of 140 columns, drawn by xterm.js.
 *
 *   npm run pictures:terminal -- FOLDER
 */

const WIDTHS = [80, 140]
const SCHEMES = {
  light: { background: '#ffffff', foreground: '#24292f', cursor: '#ffffff' },
  dark: { background: '#0d1117', foreground: '#e6edf3', cursor: '#0d1117' }
} as const
const KEY = 'a-key-of-the-operator'
/** Ends `top`, and a command that hangs. */
const SECONDS = 20
const COMMANDS = {
  help: '--help',
  'help-setup': 'setup --help',
  'key-list': 'key list',
  doctor: 'doctor',
  unknown: 'lgoin'
}
const TOOLS = [
  { type: 'function', function: { name: 'read_file', parameters: { type: 'object' } } }
]
/** Two of them as people begin, then two people at work; the last one loses a tool call. */
const PROMPTS = ['Say hello.', 'Who are you?', ...Array<string>(7).fill('call tool read_file')]
const LOST_TOOL = 'call tool read_file sim:truncated-tool'
const FAILURES = ['sim:throttled', 'sim:reset', ...Array<string>(6).fill('sim:improper')]
/** Runs while `top` is looked at. */
const LONG = 'sim:events=500 sim:gap=100'

const { entry, compiled } = bundledProgram()

const folder = resolve(process.argv[2] ?? 'terminal-pictures')
mkdirSync(folder, { recursive: true })
const executable = findChromium()
if (executable === null) throw new Error(NO_CHROMIUM)
const browser = await Browser.start({ executable })
try {
  for (const columns of WIDTHS) await takeAll(columns)
} finally {
  await browser.close()
}

async function takeAll(columns: number): Promise<void> {
  const closes: (() => unknown)[] = []
  try {
    const gateway = await ShownGateway.start(
      { teardown: (close) => closes.push(close) },
      {
        place: 'terminal',
        env: { PROXY_API_KEY: KEY, WORKERS: '1' },
        command: `stty cols ${columns} rows 40; exec ${process.execPath} ${entry}`
      }
    )
    await draw('start', columns, gateway.output)
    const env = {
      SERVER_PORT: new URL(gateway.url).port,
      PROXY_API_KEY: KEY,
      STATE_DIR: join(gateway.folder, 'state')
    }
    const keys: string[] = []
    for (const name of ['anna', 'ben']) {
      const shown = await run(`key add ${name} --credits 200/month`, columns, env)
      if (name === 'anna') await draw('key', columns, shown)
      keys.push(/kgw_[\w-]+/.exec(shown)?.[0] ?? '')
    }
    const say = (content: string, index: number): Promise<void> =>
      ask({ url: gateway.url, key: keys[index % 2] ?? KEY, content, isStream: index % 2 === 0 })
    for (const [index, content] of [...PROMPTS, LOST_TOOL].entries()) await say(content, index)
    await delay(500) // its rows
    await draw('requests', columns, gateway.output)
    const before = gateway.output.length
    for (const content of FAILURES) await say(content, 0)
    await delay(500)
    await draw('failures', columns, gateway.output.slice(before))
    const running = new AbortController()
    const long = [0, 2, 1].map((index) =>
      ask({
        url: gateway.url,
        key: keys[index % 2] ?? KEY,
        content: LONG,
        isStream: true,
        signal: running.signal
      })
    )
    await draw('top', columns, await run('top', columns, env))
    running.abort()
    await Promise.all(long)
    const setup = `setup claude --url ${gateway.url} --key ${KEY}`
    for (const [name, args] of Object.entries({
      ...COMMANDS,
      setup,
      'setup-print': `${setup} --print`
    }))
      await draw(name, columns, await run(args, columns, env))
  } finally {
    for (const close of closes) await close()
  }
}

interface Asked {
  readonly url: string
  readonly key: string
  readonly content: string
  readonly isStream: boolean
  readonly signal?: AbortSignal
}

async function ask({ url, key, content, isStream, signal }: Asked): Promise<void> {
  try {
    const answer = await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${key}`,
        'content-type': 'application/json',
        'user-agent': 'claude-cli/2.1.331 (external, cli)'
      },
      body: JSON.stringify({
        model: 'claude-sonnet-5.5',
        stream: isStream,
        messages: [{ role: 'user', content }],
        tools: TOOLS
      }),
      ...(signal !== undefined && { signal })
    })
    await answer.text()
  } catch {
    // It may be cut, or end with its signal.
  }
}

/** Returns what a command writes into a terminal of its own, in an empty home. */
async function run(
  args: string,
  columns: number,
  env: Readonly<Record<string, string>> = {}
): Promise<string> {
  const home = mkdtempSync(join(tmpdir(), 'terminal-pictures-'))
  const command = `stty cols ${columns} rows 40; exec timeout -s INT ${SECONDS} ${process.execPath} ${entry} ${args}`
  const child = spawn('script', ['-qfec', command, '/dev/null'], {
    cwd: home,
    env: {
      PATH: process.env['PATH'] ?? '',
      HOME: home,
      SHELL: '/bin/sh',
      TERM: 'xterm',
      NODE_COMPILE_CACHE: compiled,
      ...env
    },
    stdio: ['pipe', 'pipe', 'inherit']
  })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
    if (output.endsWith('[y/N] ')) child.stdin.write('n\r')
  })
  await once(child, 'close')
  rmSync(home, { recursive: true, force: true })
  return output
}

async function draw(name: string, columns: number, output: string): Promise<void> {
  const xterm = createRequire(import.meta.url).resolve('@xterm/xterm')
  for (const [scheme, theme] of Object.entries(SCHEMES)) {
    const page = await browser.open()
    await page.setViewportSize({ width: columns * 8 + 60, height: 760 })
    await page.setContent('<body style="margin:16px"><div id="terminal"></div></body>')
    await page.addStyleTag({ path: resolve(xterm, '../../css/xterm.css') })
    await page.addScriptTag({ path: xterm })
    const options = { cols: columns, rows: 40, theme, fontSize: 13, fontFamily: 'DejaVu Sans Mono' }
    await page.evaluate(`
      document.body.style.background = ${JSON.stringify(theme.background)}
      const terminal = new Terminal(${JSON.stringify(options)})
      terminal.open(document.querySelector('#terminal'))
      new Promise((done) => terminal.write(${JSON.stringify(output)}, () => requestAnimationFrame(done)))`)
    await delay(100)
    await page.screenshot({ path: join(folder, `${name}-${columns}-${scheme}.png`) })
    await page.close()
  }
  process.stdout.write(`${name} at ${columns}\n`)
}
