#!/usr/bin/env node
import fs from 'node:fs'
import nodeModule from 'node:module'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

// The entry. Plain JavaScript that any Node since 16 can read, so that one too old for the rest can be told so.

const root = fileURLToPath(new URL('..', import.meta.url))
const needed = readNeededVersion()
const isWarmUp = process.argv[2] === '--warm-up'
const isCommand = isWarmUp || process.argv[2] === 'lint'

if (isOlder(process.versions.node, needed)) {
  process.stderr.write(
    `kiro-gateway needs Node ${needed} or newer and this is ${process.versions.node}: run "npm ci && npm start", which brings its own to most systems, or install a newer one.\n`
  )
  process.exitCode = isWarmUp ? 0 : 78
} else {
  // Without a listener they end the process; main.ts adds its own as soon as it is loaded.
  if (!isCommand) for (const signal of ['SIGHUP', 'SIGUSR2']) process.on(signal, () => {})
  enableCompileCache()
  if (isWarmUp) await import('./warm-up.ts')
  else if (process.argv[2] === 'lint') await import('./lint.ts')
  else await import('./main.ts')
}

/** The least version in `engines`, which is written as `>=24.12`. */
function readNeededVersion() {
  const manifest = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8'))
  return manifest.engines.node.replace('>=', '')
}

/** Compares versions number by number; one that is left out counts as 0. */
function isOlder(version, other) {
  const numbers = version.split('.').map(Number)
  const wanted = other.split('.').map(Number)
  const at = wanted.findIndex((number, index) => number !== (numbers[index] || 0))
  return at !== -1 && (numbers[at] || 0) < wanted[at]
}

/** Keeps compiled and type-stripped code between starts, which saves time and memory. Works without, too. */
function enableCompileCache() {
  if (nodeModule.getCompileCacheDir() !== undefined) return // NODE_COMPILE_CACHE was set
  const parents = [path.join(root, 'node_modules', '.cache'), os.tmpdir()]
  const name = `kiro-gateway-${process.getuid ? process.getuid() : 'cache'}`
  const folder = parents.map((parent) => path.join(parent, name)).find(isOurs)
  if (folder === undefined) return
  nodeModule.enableCompileCache(folder)
  process.env.NODE_COMPILE_CACHE = folder // for the processes that we start
}

/** Whether a folder is there or can be made, and only we can write to it: another writer could decide what we run. */
function isOurs(folder) {
  try {
    makeFolder(path.dirname(folder))
    makeFolder(folder)
    fs.accessSync(folder, fs.constants.W_OK)
    const { uid, mode } = fs.lstatSync(folder)
    return !process.getuid || (uid === process.getuid() && (mode & 0o022) === 0)
  } catch {
    return false
  }
}

/** Not `recursive`: with it, Node 24 never returns for a folder that cannot be made because it is in /proc. */
function makeFolder(folder) {
  if (!fs.existsSync(folder)) fs.mkdirSync(folder, { mode: 0o700 })
}
