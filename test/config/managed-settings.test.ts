import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readManagedSettings } from '../../src/config/managed-settings.ts'
import { GatewayError } from '../../src/shared/errors.ts'

t.test('readManagedSettings()', async (t) => {
  const folder = t.testdir()
  const read = (text: string | Buffer, name = 'managed.json') => {
    const path = join(folder, name)
    writeFileSync(path, text)
    return readManagedSettings(path)
  }

  t.test(
    'tells the checksum that the client computes: sorted on every level, without spaces',
    async (t) => {
      const settings = {
        permissions: { deny: ['b', 'a'], allow: [{ z: 1, y: [{ d: null, c: 'é' }] }] },
        model: 'claude-sonnet-5',
        2: 'two',
        10: 'ten'
      }
      const { managed, warnings } = read(`\uFEFF${JSON.stringify(settings, null, 4)}`)
      t.same(warnings, [])
      const sorted =
        '{"2":"two","10":"ten","model":"claude-sonnet-5","permissions":{"allow":[{"y":[{"c":"é","d":null}],"z":1}],"deny":["b","a"]}}'
      const checksum = `sha256:${createHash('sha256').update(sorted).digest('hex')}`
      t.equal(managed.checksum, checksum)
      const body = JSON.parse(managed.body)
      t.match(body, { uuid: /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/ })
      t.same(body, { uuid: body.uuid, checksum, settings })
      t.equal(read(JSON.stringify(settings)).managed.body, managed.body, 'the same again')
    }
  )

  t.test('takes an empty policy, which is not the same as none', async (t) => {
    t.match(read('{}').managed.body, '"settings":{}')
  })

  t.test('warns of variables, which people have to approve', async (t) => {
    const { warnings } = read('{"env":{"A":"1"}}')
    t.match(warnings, [/MANAGED_SETTINGS_FILE.*sets "env".*approve/])
  })

  t.test('says what is wrong with a file, and shows none of it', async (t) => {
    const deep = `{"a":${'['.repeat(60_000)}${']'.repeat(60_000)}}`
    const wrong: readonly (readonly [string | Buffer, RegExp])[] = [
      ['["secret"]', /is not a JSON object/],
      ['{"secret": }', /is not a JSON object/],
      ['', /is not a JSON object/],
      [Buffer.alloc(256 * 1024 + 1, ' '), /more than 262144 bytes/],
      [deep, /nested too deeply|is not a JSON object/]
    ]
    for (const [text, sentence] of wrong) {
      const problem = problemOf(() => read(text))
      t.match(problem, sentence)
      t.notMatch(problem, /secret/)
    }
    const none = join(folder, 'none')
    t.throws(() => readManagedSettings(none), /cannot be read \(ENOENT\)/)
    t.throws(() => readManagedSettings(folder), /cannot be read/)
    const pipe = join(folder, 'pipe')
    execFileSync('mkfifo', [pipe])
    t.throws(() => readManagedSettings(pipe), /cannot be read/, 'without waiting for a writer')
  })
})

function problemOf(read: () => unknown): string {
  try {
    read()
    return 'none'
  } catch (cause) {
    return cause instanceof GatewayError ? cause.message : String(cause)
  }
}
