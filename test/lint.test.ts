import { execFile } from 'node:child_process'
import { join } from 'node:path'
import t, { type Test } from 'tap'

t.setTimeout(300_000) // real processes, on a machine that may be busy

interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

const entry = join(import.meta.dirname, '../src/start.js')
const good = { model: 'auto', messages: [{ role: 'user', content: 'hi' }] }
const repairable = { ...good, messages: [...good.messages, { role: 'assistant', content: 'Well' }] }
const refused = { ...good, messages: [{ role: 'user', content: [{ type: 'input_audio' }] }] }

/** Runs it in an empty folder, so that no `.env` has a say. */
function lint(t: Test, args: readonly string[], input = '', files: object = {}): Promise<Outcome> {
  const cwd = t.testdir({ ...files })
  return new Promise((resolve) => {
    const command = [entry, 'lint', ...args]
    const child = execFile(process.execPath, command, { cwd, env: {} }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr })
    })
    child.stdin?.end(input)
  })
}

t.test('kiro-gateway lint', async (t) => {
  t.test('ends with 0 for a request that is taken as it is', async (t) => {
    const files = { 'request.json': JSON.stringify(good) }
    t.same(await lint(t, ['request.json'], '', files), {
      code: 0,
      stdout: 'openai-chat: nothing to say\n',
      stderr: ''
    })
  })

  t.test('ends with 0 for one that is repaired, and says how', async (t) => {
    const { code, stdout } = await lint(t, ['-'], JSON.stringify(repairable))
    t.equal(code, 0)
    t.match(stdout, /^repaired {4}\/messages\/1 {2}last-turn: A user turn "Continue." was put last/)
    t.match(stdout, /\n {12}Fix: End with a user message/)
    t.match(stdout, /\nopenai-chat: 0 refused, 0 borderline, 1 repaired\n$/)
  })

  t.test('ends with 1 for one that is refused', async (t) => {
    const { code, stdout, stderr } = await lint(t, ['-'], JSON.stringify(refused))
    t.equal(code, 1)
    t.equal(stderr, '')
    t.match(stdout, /^refused {5}\/messages\/0\/content\/0 {2}content-text: /)
    t.equal((await lint(t, ['-'], '{"model":')).code, 1, 'no JSON')
  })

  t.test('prints the report as JSON', async (t) => {
    const { code, stdout } = await lint(t, ['--json', '-'], JSON.stringify(refused))
    t.equal(code, 1)
    t.match(JSON.parse(stdout), {
      ok: false,
      dialect: 'openai-chat',
      findings: [{ rule: 'content-text', severity: 'refused', pointer: '/messages/0/content/0' }]
    })
  })

  t.test('takes the dialect and the settings of the folder', async (t) => {
    const asked = ['--dialect=anthropic-messages', '-']
    t.match(await lint(t, asked, JSON.stringify(good)), { stdout: /^anthropic-messages: / })
    const tools = ['a', 'b'].map((name) => ({ function: { name, description: name } }))
    const files = { '.env': 'TOOL_MAX_COUNT=1' }
    const { stdout } = await lint(t, ['-'], JSON.stringify({ ...good, tools }), files)
    t.match(stdout, /repaired {4}\/tools\/1\/function {2}tool-count: /)
  })

  t.test('lets no request write to the terminal', async (t) => {
    const tool = { name: '\u001b[31mred', description: 'x'.repeat(9) }
    const body = { ...good, tools: [{ function: tool }], tool_choice: { type: '\u001b[2J' } }
    t.notMatch((await lint(t, ['-'], JSON.stringify(body))).stdout, '\u001b')
  })

  t.test('ends with 2 when there is nothing to look at', async (t) => {
    for (const args of [[], ['a', 'b'], ['missing.json'], ['--dialect=klingon', '-'], ['--nope']]) {
      const { code, stdout, stderr } = await lint(t, args)
      t.equal(code, 2, args.join(' '))
      t.equal(stdout, '')
      t.match(stderr, /^kiro-gateway lint: .+\n\nUsage: kiro-gateway lint/)
    }
    t.match(await lint(t, ['--help']), { code: 0, stdout: /^Usage: kiro-gateway lint/ })
  })
})
