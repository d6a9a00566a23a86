import { execFile } from 'node:child_process'
import t from 'tap'

t.setTimeout(1_100_000) // processes of their own, on a machine that may be busy

/** Each world has a process to itself: time stands still there for all who wait for it. */
function simulate(
  args: readonly string[]
): Promise<{ readonly code: number; readonly text: string }> {
  const { promise, resolve } = Promise.withResolvers<{ code: number; text: string }>()
  const program = new URL('simulate.ts', import.meta.url).pathname
  execFile(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', program, '--whole', ...args],
    (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : 1, text: stdout + stderr })
    }
  )
  return promise
}

/** Of a summary, what follows from the seed. */
function digestOf(text: string): string {
  return /"digest":"([0-9a-f]{64})"/.exec(text)?.[1] ?? text
}

t.test('npm run simulate', async (t) => {
  t.test(
    'holds while workers die, stand still and are replaced, and the budget changes, and is the same to the byte when it is played again',
    async (t) => {
      const args = ['--seed', '10', '--hours', '0.03']
      const [one, again] = [await simulate(args), await simulate(args)]
      t.equal(one.code, 0, one.text)
      t.match(digestOf(one.text), /^[0-9a-f]{64}$/)
      t.equal(digestOf(one.text), digestOf(again.text))
    }
  )

  t.test(
    'holds in a fleet while a gateway dies and comes back to a full disk, Valkey forgets, the upstream cannot be reached and the primary stands still',
    async (t) => {
      const { code, text } = await simulate(['--seed', '3', '--hours', '0.05'])
      t.equal(code, 0, text)
    }
  )

  t.test('says what was violated, and how to play it again', async (t) => {
    const { code, text } = await simulate(['--seed', '8', '--hours', '0.05', '--expected', '1'])
    t.equal(code, 1)
    t.match(text, /^VIOLATED: the upstream has \d+ connections, and 1 are allowed$/m)
    t.match(text, /^seed 8, --hours 0\.05, commit \S+, Node v\d+/m)
    t.match(text, /^again: npm run simulate -- --seed 8 --hours 0\.05 --expected 1$/m)
    t.match(text, /^last events of upstream:$/m)
  })
})
