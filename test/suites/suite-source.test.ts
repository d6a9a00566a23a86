import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { fetchSource } from './suite-source.ts'

const OWNER = 'owner/suite'

/** A repository that stands in for GitHub's, with a file that is wanted, a folder, and another file. */
function makeRepository(folder: string): string {
  const git = (...args: readonly string[]): string =>
    execFileSync('git', ['-C', folder, ...args], { encoding: 'utf8', env: QUIET_GIT }).trim()
  mkdirSync(join(folder, 'tests'), { recursive: true })
  git('init', '--quiet')
  git('config', 'uploadpack.allowAnySHA1InWant', 'true')
  git('config', 'uploadpack.allowFilter', 'true')
  const commit = (text: string): string => {
    writeFileSync(join(folder, 'wanted.txt'), text)
    writeFileSync(join(folder, 'tests/a.txt'), text)
    writeFileSync(join(folder, 'other.txt'), text)
    git('add', '.')
    git('commit', '--quiet', '--message', text)
    return git('rev-parse', 'HEAD')
  }
  const first = commit('first')
  commit('second')
  return first
}

const QUIET_GIT = {
  PATH: process.env['PATH'] ?? '',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_AUTHOR_NAME: 'a',
  GIT_AUTHOR_EMAIL: 'a@example.com',
  GIT_COMMITTER_NAME: 'a',
  GIT_COMMITTER_EMAIL: 'a@example.com'
}

t.test('gets the wanted files of the one commit', async (t) => {
  const root = t.testdir({})
  const commit = makeRepository(join(root, 'repository'))
  const address = `url.file://${join(root, 'repository')}.insteadOf`
  const config = {
    GIT_CONFIG_COUNT: '1',
    GIT_CONFIG_KEY_0: address,
    GIT_CONFIG_VALUE_0: `https://github.com/${OWNER}.git`
  }
  Object.assign(process.env, config)
  t.teardown(() => {
    for (const name of Object.keys(config)) delete process.env[name]
  })
  const folder = join(root, 'source')
  const source = { repository: OWNER, commit, paths: ['wanted.txt', 'tests'] }
  t.equal(await fetchSource(source, folder), 'git')
  t.equal(readFileSync(join(folder, 'wanted.txt'), 'utf8'), 'first')
  t.equal(readFileSync(join(folder, 'tests/a.txt'), 'utf8'), 'first')
  t.notOk(existsSync(join(folder, 'other.txt')))
  writeFileSync(join(folder, 'wanted.txt'), 'kept')
  await fetchSource(source, folder)
  t.equal(readFileSync(join(folder, 'wanted.txt'), 'utf8'), 'kept', 'is not fetched again')
})

t.test('takes a copy of the repository where there is one', async (t) => {
  const root = t.testdir({ copies: { owner: { suite: { 'wanted.txt': 'copied' } } } })
  process.env['SUITES_SOURCES'] = join(root, 'copies')
  t.teardown(() => delete process.env['SUITES_SOURCES'])
  const folder = join(root, 'source')
  t.equal(await fetchSource({ repository: OWNER, commit: 'any', paths: [] }, folder), 'copy')
  t.equal(readFileSync(join(folder, 'wanted.txt'), 'utf8'), 'copied')
})
