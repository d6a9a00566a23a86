import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { VALKEY_RIGHTS, problemOfValkey, refusalOf } from '../../src/fleet/valkey-problems.ts'

const SERVER = '# Server\r\nredis_version:7.2.4\r\nredis_mode:standalone\r\nrun_id:0a1b\r\n'
const MEMORY = '# Memory\r\nmaxmemory_policy:noeviction\r\n'

t.test('a Valkey that will do', async (t) => {
  t.equal(problemOfValkey(SERVER, MEMORY), null)
  t.equal(problemOfValkey(SERVER, ''), null, 'one that does not tell of its memory')
  t.equal(problemOfValkey(SERVER, 'maxmemory_policy:volatile-lru'), null)
})

t.test('one that will not', async (t) => {
  t.match(problemOfValkey(SERVER.replace('7.2.4', '6.2.14'), MEMORY), /version 6\.2\.14/)
  t.match(problemOfValkey(SERVER.replace('standalone', 'cluster'), MEMORY), /cluster/)
  t.match(problemOfValkey(SERVER.replace('0a1b', ''), MEMORY), /run_id/)
  t.match(problemOfValkey(SERVER, 'maxmemory_policy:allkeys-random'), /allkeys-random/)
})

t.test('what waiting does not mend, and never a word of Valkey', async (t) => {
  for (const [said, meant] of [
    ['WRONGPASS invalid username-password pair or user is disabled.', /user or password/],
    ['NOAUTH Authentication required.', /user or password/],
    ["NOPERM User eve has no permissions to run the 'eval' command", /lacks permissions/],
    ["ERR unknown command 'eval'", /refuses scripts/],
    ['ERR Error running script: WRONGTYPE Operation against a key', /another program/],
    ['ERR DB index is out of range', /database/]
  ] as const) {
    t.match(refusalOf(said), meant)
    t.notMatch(refusalOf(said), /eve|WRONG|NOPERM/)
  }
  for (const passing of [
    'connect ECONNREFUSED',
    'LOADING',
    'OOM command not allowed',
    'Command timed out'
  ]) {
    t.equal(refusalOf(passing), null, passing)
  }
})

t.test('docs/fleet.md has the rights that a user of Valkey needs', async (t) => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/fleet.md'), 'utf8')
  t.match(page, `>PASSWORD ${VALKEY_RIGHTS}\n`)
})
