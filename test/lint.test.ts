import { join } from 'node:path'
import t, { type Test } from 'tap'
import { runKiroGateway } from './helper/cli-process.ts'
import { runCommandHere } from './helper/command-here.ts'

t.setTimeout(300_000) // real processes, on a machine that may be busy

const good = { model: 'auto', messages: [{ role: 'user', content: 'hi' }] }
const repairable = { ...good, messages: [...good.messages, { role: 'assistant', content: 'Well' }] }
const refused = { ...good, messages: [{ role: 'user', content: [{ type: 'input_audio' }] }] }

/** Looks at a request, or a text, in a file. */
function lint(t: Test, request: object | string, ...options: readonly string[]) {
  const text = typeof request === 'string' ? request : JSON.stringify(request)
  const cwd = t.testdir({ 'request.json': text })
  return runCommandHere(['lint', ...options, join(cwd, 'request.json')], { cwd })
}

t.test('kiro-gateway lint', async (t) => {
  t.test('ends with 0 for a request that is taken as it is', async (t) => {
    t.same(await lint(t, good), {
      code: 0,
      stdout: 'openai-chat: nothing to say\n',
      stderr: ''
    })
  })

  t.test('ends with 0 for one that is repaired, and says how', async (t) => {
    const options = { cwd: t.testdir({}), input: JSON.stringify(repairable) }
    const { code, stdout } = await runKiroGateway(['lint', '-'], options)
    t.equal(code, 0)
    t.match(stdout, /^repaired {4}\/messages\/1 {2}last-turn: A user turn "Continue." was put last/)
    t.match(stdout, /\n {12}Fix: End with a user message/)
    t.match(stdout, /\nopenai-chat: 0 refused, 0 borderline, 1 repaired\n$/)
  })

  t.test('ends with 1 for one that is refused', async (t) => {
    const { code, stdout, stderr } = await lint(t, refused)
    t.equal(code, 1)
    t.equal(stderr, '')
    t.match(stdout, /^refused {5}\/messages\/0\/content\/0 {2}content-text: /)
    t.equal((await lint(t, '{"model":')).code, 1, 'no JSON')
  })

  t.test('prints the report as JSON', async (t) => {
    const { code, stdout } = await lint(t, refused, '--json')
    t.equal(code, 1)
    t.match(JSON.parse(stdout), {
      ok: false,
      dialect: 'openai-chat',
      findings: [{ rule: 'content-text', severity: 'refused', pointer: '/messages/0/content/0' }]
    })
  })

  t.test('takes the dialect and the settings of the folder', async (t) => {
    const asked = await lint(t, good, '--dialect=anthropic-messages')
    t.match(asked, { stdout: /^anthropic-messages: / })
    const tools = ['a', 'b'].map((name) => ({ function: { name, description: name } }))
    const files = {
      '.env': 'TOOL_MAX_COUNT=1',
      'request.json': JSON.stringify({ ...good, tools })
    }
    const { stdout } = await runKiroGateway(['lint', 'request.json'], { cwd: t.testdir(files) })
    t.match(stdout, /repaired {4}\/tools\/1\/function {2}tool-count: /)
  })

  t.test('lets no request write to the terminal', async (t) => {
    const tool = { name: '\u001b[31mred', description: 'x'.repeat(9) }
    const body = { ...good, tools: [{ function: tool }], tool_choice: { type: '\u001b[2J' } }
    t.notMatch((await lint(t, body)).stdout, '\u001b')
  })

  t.test('ends with 2 when there is nothing to look at', async (t) => {
    const cwd = t.testdir({})
    for (const args of [[], ['a', 'b'], ['missing.json'], ['--dialect=klingon', '-'], ['--nope']]) {
      const { code, stdout, stderr } = await runCommandHere(['lint', ...args], { cwd })
      t.equal(code, 2, args.join(' '))
      t.equal(stdout, '')
      t.match(stderr, /^kiro-gateway lint: .+\n\nUsage: kiro-gateway lint/)
    }
    t.match(await runCommandHere(['lint', '--help'], { cwd }), {
      code: 0,
      stdout: /^Usage: kiro-gateway lint/
    })
  })
})
