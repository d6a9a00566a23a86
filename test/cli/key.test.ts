import {
  chmodSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type CliOutcome, runKiroGateway } from '../helper/cli-process.ts'
import { runCommandHere } from '../helper/command-here.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

const KEY = /^sk-[\w-]{43}\n$/

/** Runs `key new --write` for a file of that content; returns also what the file holds then. */
async function write(
  t: Test,
  content: string | Buffer
): Promise<CliOutcome & { readonly text: string; readonly path: string }> {
  const cwd = t.testdir({})
  const path = join(cwd, '.env')
  writeFileSync(path, content)
  const outcome = await runCommandHere(['key', 'new', '--write'], { cwd, env: { ENV_FILE: path } })
  return { ...outcome, text: readFileSync(path, 'latin1'), path }
}

t.test('kiro-gateway key new', async (t) => {
  await t.test('prints another key each time', async (t) => {
    const cwd = t.testdir({})
    const made = [1, 2].map(() => runCommandHere(['key', 'new'], { cwd }))
    const outcomes = await Promise.all(made)
    for (const outcome of outcomes)
      t.match(outcome, { code: 0, stdout: KEY, stderr: /PROXY_API_KEY in \.env/ })
    t.not(outcomes[0]?.stdout, outcomes[1]?.stdout)
    const { stdout } = await runCommandHere(['key', 'new', '--json'], { cwd })
    t.match(JSON.parse(stdout), { key: /^sk-/, path: null })
  })

  await t.test('adds it to .env and keeps the rest to the byte', async (t) => {
    for (const [before, added] of [
      ['', 'PROXY_API_KEY=KEY\n'],
      ['A=1 # one\n\n#PROXY_API_KEY=\n', 'PROXY_API_KEY=KEY\n'],
      ['A="x\ny"\nPROXY_API_KEY=\n', 'PROXY_API_KEY=KEY\n'],
      ['A=1\r\nB=2', '\r\nPROXY_API_KEY=KEY\r\n'],
      ['A="begins and does not end\n', 'PROXY_API_KEY=KEY\n'],
      ['\ufeffA=\u00e4\n', 'PROXY_API_KEY=KEY\n']
    ] as const) {
      const { code, stdout, text } = await write(t, before)
      t.equal(code, 0)
      const line = added.replace('=KEY', `=${stdout.trim()}`)
      const whole = Buffer.from(before + line).toString('latin1')
      t.equal(text, whole, JSON.stringify(before))
    }
  })

  await t.test('makes a file that only its owner can read', async (t) => {
    const cwd = t.testdir({})
    const { stdout } = await runKiroGateway(['key', 'new', '--write'], { cwd })
    const path = join(cwd, '.env')
    t.equal(readFileSync(path, 'latin1'), `PROXY_API_KEY=${stdout}`)
    t.equal(statSync(path).mode & 0o777, 0o600)
  })

  await t.test('keeps a link', async (t) => {
    const cwd = t.testdir({ real: '' })
    chmodSync(join(cwd, 'real'), 0o640)
    symlinkSync('real', join(cwd, '.env'))
    const { code, stderr } = await runKiroGateway(['key', 'new', '--write'], { cwd })
    t.match({ code, stderr }, { code: 0, stderr: /only you can read now \(mode 600; it was 640\)/ })
    t.equal(readlinkSync(join(cwd, '.env')), 'real')
    t.match(readFileSync(join(cwd, 'real'), 'utf8'), /^PROXY_API_KEY=sk-/)
    t.equal(statSync(join(cwd, 'real')).mode & 0o777, 0o600)
  })

  await t.test('closes a file that everybody could read, so that doctor is content', async (t) => {
    const cwd = t.testdir({ '.env': 'A=1\n' })
    chmodSync(join(cwd, '.env'), 0o644)
    const { code, stderr } = await runKiroGateway(['key', 'new', '--write'], { cwd })
    t.match({ code, stderr }, { code: 0, stderr: /only you can read now \(mode 600; it was 644\)/ })
    t.match(stderr, 'Clients that were set up without a key are refused until')
    t.equal(statSync(join(cwd, '.env')).mode & 0o777, 0o600)
  })

  await t.test('writes to the file that ENV_FILE names', async (t) => {
    const cwd = t.testdir({ settings: 'A=1\n' })
    const env = { ENV_FILE: join(cwd, 'settings') }
    t.equal((await runKiroGateway(['key', 'new', '--write'], { cwd, env })).code, 0)
    t.match(readFileSync(join(cwd, 'settings'), 'utf8'), /^A=1\nPROXY_API_KEY=sk-/)
  })

  await t.test('changes nothing that it does not understand', async (t) => {
    for (const [before, problem] of [
      ['PROXY_API_KEY=one\n', /already has a PROXY_API_KEY/],
      [Buffer.from('A=\xe4\n', 'latin1'), /not UTF-8/],
      ['A=1\n'.repeat(300_000), /too large/]
    ] as const) {
      const { code, stdout, stderr, text } = await write(t, before)
      t.match({ code, stdout, stderr }, { code: 2, stdout: '', stderr: problem })
      t.match(stderr, 'Nothing was changed')
      t.ok(text === Buffer.from(before).toString('latin1'))
    }
  })
})
