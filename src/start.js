#!/usr/bin/env node
import { spawn } from 'node:child_process'
import fs from 'node:fs'
import nodeModule from 'node:module'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

// The entry. Plain JavaScript that any Node since 16 can read, so that one too old for the rest can hand over to the
// Node that was installed with us, or be told so.

const root = fileURLToPath(new URL('..', import.meta.url))
const needed = readNeededVersion()
const [command = ''] = process.argv.slice(2)
const isWarmUp = command === '--warm-up'
/** Anything but the gateway itself, which takes options alone. */
const isCommand = /^[^-]/.test(command) || process.argv.some((word) => /^(--help|-h)$/.test(word))

if (isOlder(process.versions.node, needed)) {
  const bundled = findBundledNode()
  if (bundled !== null && !isWarmUp) handOver(bundled)
  else {
    process.stderr.write(
      `kiro-gateway needs Node ${needed} or newer and this is ${process.versions.node}: run "npm ci && npm start", which brings its own to most systems, or install a newer one.\n`
    )
    process.exitCode = isWarmUp ? 0 : 78
  }
} else {
  // Without a listener they end the process; main.ts adds its own as soon as it is loaded.
  if (!isCommand && !isWarmUp) {
    for (const signal of ['SIGHUP', 'SIGUSR2']) process.on(signal, () => {})
  }
  enableCompileCache()
  if (isWarmUp) await import('./warm-up.ts')
  else if (isCommand) {
    const { runCli } = await import('./cli/program/cli.ts')
    process.exitCode = await runCli(process.argv.slice(2))
  } else await import('./main.ts')
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

/** The Node that `npm ci` installs beside us; `null` if there is none, or it is the one that runs this. */
function findBundledNode() {
  const system = process.platform === 'win32' ? 'win' : process.platform
  try {
    const { resolve } = nodeModule.createRequire(import.meta.url)
    const folder = path.dirname(resolve(`node-${system}-${process.arch}/package.json`))
    const file = path.join(folder, 'bin', system === 'win' ? 'node.exe' : 'node')
    return fs.realpathSync(file) === fs.realpathSync(process.execPath) ? null : file
  } catch {
    return null
  }
}

/** Runs the same with another Node in our place: it gets our signals, and we end as it does. */
function handOver(node) {
  const script = fileURLToPath(import.meta.url)
  const child = spawn(node, [...process.execArgv, script, ...process.argv.slice(2)], {
    stdio: 'inherit'
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2']) {
    // Ctrl-C reaches both of us: it only must not end us first.
    process.on(signal, () => (signal === 'SIGINT' && process.stdin.isTTY) || child.kill(signal))
  }
  child.once('error', (error) => {
    process.stderr.write(`kiro-gateway: ${node} cannot be started: ${error.message}\n`)
    process.exitCode = 78
  })
  child.once('exit', (code, signal) => {
    process.exitCode = code === null ? 128 + (os.constants.signals[signal] || 0) : code
    process.exit()
  })
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
