import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { compactionKeys } from '../../src/control/compaction-keys.ts'
import type { Config } from '../../src/config/settings.ts'

const log = { warn: (facts: unknown) => t.fail('a warning', { facts }) }

const ALONE = { url: null }

function configOf(stateDir: string, fleet: object = ALONE): Pick<Config, 'fleet' | 'credentials'> {
  return { fleet, credentials: { stateDir } } as Config
}

t.test('a key is made once, also by gateways that start together', async (t) => {
  const config = configOf(t.testdir())
  const made = await Promise.all(Array.from({ length: 8 }, () => compactionKeys(config, log)))
  t.equal(new Set(made.flat()).size, 1)
  t.same(await compactionKeys(config, log), made[0])
})

t.test('a file that a crash has left empty is filled', async (t) => {
  const folder = t.testdir()
  const path = join(folder, 'compaction.key')
  writeFileSync(path, '', { mode: 0o600 })
  const made = await compactionKeys(configOf(folder), log)
  t.same([readFileSync(path, 'utf8').trim()], made)
  t.equal(statSync(path).mode & 0o777, 0o600)
  t.same(await compactionKeys(configOf(folder), log), made)
})

t.test('a fleet seals under its secret, and opens what its replica had sealed alone', async (t) => {
  const folder = t.testdir()
  const secrets = ['s'.repeat(32), 'r'.repeat(32)]
  const fleet = { url: 'redis://127.0.0.1:1', name: 'fleet', secrets, secretFile: null }
  const alone = await compactionKeys(configOf(folder), log)
  const joined = await compactionKeys(configOf(folder, fleet), log)
  const other = await compactionKeys(configOf(t.testdir(), fleet), log)
  t.equal(other.length, 2)
  t.same(joined, [...other, ...alone])
})
