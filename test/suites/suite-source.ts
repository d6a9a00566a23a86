import { execFile } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Source } from './suite.ts'

const run = promisify(execFile)
const FETCH_TIMEOUT_MS = 300_000

/**
 * Puts a suite's files into `folder` unless they are there already: from a copy of the repository in
 * `SUITES_SOURCES/OWNER/NAME`, if somebody has one, else by git. Resolves with which of them it was.
 */
export async function fetchSource(source: Source, folder: string): Promise<'copy' | 'git'> {
  const marker = `${folder}.json`
  const wanted = JSON.stringify(source)
  if (existsSync(marker) && readFileSync(marker, 'utf8') === wanted) return 'git'
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const copy = join(process.env['SUITES_SOURCES'] ?? '', source.repository)
  if (process.env['SUITES_SOURCES'] !== undefined && existsSync(copy)) {
    cpSync(copy, folder, { recursive: true })
    return 'copy' // it may change, so it has no marker
  }
  await fetchByGit(source, folder)
  writeFileSync(marker, wanted)
  return 'git'
}

/** The one commit, and of it the files that are wanted. */
async function fetchByGit({ repository, commit, paths }: Source, folder: string): Promise<void> {
  const git = (...args: readonly string[]) =>
    run('git', ['-C', folder, ...args], { timeout: FETCH_TIMEOUT_MS })
  await git('init', '--quiet')
  await git('remote', 'add', 'origin', `https://github.com/${repository}.git`)
  await git('sparse-checkout', 'set', '--no-cone', ...paths)
  await git('fetch', '--quiet', '--depth', '1', '--filter', 'blob:none', 'origin', commit)
  await git('checkout', '--quiet', commit)
}
