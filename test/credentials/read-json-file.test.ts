import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readJsonFile } from '../../src/credentials/json-file.ts'

const MEGABYTE = 1024 * 1024

function pad(length: number): string {
  return `{"a":"${'x'.repeat(length - 8)}"}`
}

t.test('readJsonFile()', (t) => {
  const dir = t.testdir({
    'good.json': '\uFEFF{"a":1}',
    'folder.json': {},
    'list.json': '[1]',
    'broken.json': '{"accessToken":"secret"',
    'limit.json': pad(MEGABYTE),
    'over.json': pad(MEGABYTE + 1)
  })
  const read = (name: string) =>
    readJsonFile({ path: join(dir, name), setting: 'KIRO_CREDS_FILE', expected: 'Expected X.' })

  t.test('reads an object, with or without a byte order mark, up to the limit', async (t) => {
    t.same(await read('good.json'), { a: 1 })
    t.ok(await read('limit.json'))
  })
  t.test('says what is wrong with which file, and what is expected', async (t) => {
    const table: [string, RegExp][] = [
      ['missing.json', /does not exist\./],
      ['good.json/below.json', /does not exist\./],
      ['folder.json', /is a folder\. In a container/],
      ['list.json', /is not a JSON object\./],
      ['broken.json', /is not a JSON object\./],
      ['over.json', /has 1048577 bytes, more than the limit of 1 MB\./]
    ]
    for (const [name, problem] of table) {
      const error = await t.rejects(read(name), { code: 'GW_CONFIG_INVALID' }, name)
      t.match(String(error), problem)
      t.match(String(error), `KIRO_CREDS_FILE: ${join(dir, name)} `)
      t.match(String(error), /Expected X\.$/)
      t.notMatch(String(error), 'secret')
    }
  })
  t.test('reads a file once more that is just being written', async (t) => {
    const path = join(dir, 'growing.json')
    writeFileSync(path, '{"accessToken":"a')
    const reading = read('growing.json')
    setTimeout(() => writeFileSync(path, '{"accessToken":"a1"}'), 20)
    t.same(await reading, { accessToken: 'a1' })
  })
  t.test('does not wait for a pipe', async (t) => {
    execFileSync('mkfifo', [join(dir, 'pipe')])
    await t.rejects(read('pipe'), { message: /is not a plain file\./ })
  })
  t.end()
})
