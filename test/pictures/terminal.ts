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
const COMMANDS = {
  help: '--help',
  'help-setup': 'setup --help',
  doctor: 'doctor',
  key: 'key add anna --credits 200/month',
  unknown: 'lgoin',
  top: 'top'
}
const PROMPTS = [
  'Say hello.',
  'sim:tool',
  'sim:improper',
  'sim:throttled',
  'sim:reset',
  'sim:truncated-tool',
  'Say hello.'
]
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
    for (const [index, content] of PROMPTS.entries()) await ask(gateway.url, content, index)
    await delay(500) // its rows
    await draw('requests', columns, gateway.output)
    const env = { SERVER_PORT: new URL(gateway.url).port, PROXY_API_KEY: KEY }
    const setup = `setup claude --url ${gateway.url} --key ${KEY}`
    for (const [name, args] of Object.entries({ ...COMMANDS, setup }))
      await draw(name, columns, await run(args, columns, env))
  } finally {
    for (const close of closes) await close()
  }
}

async function ask(url: string, content: string, index: number): Promise<void> {
  const answer = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'claude-sonnet-5.5',
      stream: index % 2 === 0,
      messages: [{ role: 'user', content }]
    })
  })
  await answer.text().catch(() => '') // it may be cut
}

/** Returns what a command writes into a terminal of its own, in an empty home. */
async function run(
  args: string,
  columns: number,
  env: Readonly<Record<string, string>> = {}
): Promise<string> {
  const home = mkdtempSync(join(tmpdir(), 'terminal-pictures-'))
  const command = `stty cols ${columns} rows 40; exec timeout -s INT 10 ${process.execPath} ${entry} ${args}`
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
