#!/usr/bin/env node
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import nodeModule from 'node:module'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

// Entry, in plain JavaScript for any Node since 16: one too old for the rest hands over to the Node
// installed with us, or is told so.

const root = fileURLToPath(new URL('..', import.meta.url))
const needed = readNeededVersion()
const [command = ''] = process.argv.slice(2)
const isWarmUp = command === '--warm-up'
/** The gateway itself takes options alone. */
const isCommand = /^[^-]/.test(command) || process.argv.some((word) => /^(--help|-h)$/.test(word))
const isGateway = !isCommand && !isWarmUp
/** Flags of `npm start`: the first process carries nothing. V8 cannot be told later. */
const FLAGS = ['--max-old-space-size=48', '--max-semi-space-size=2']
/** The last sets flags that change what V8 compiles. */
const WARMED = [
  'warm-up',
  'workers/usage-book',
  'workers/usage-search',
  'workers/transform-request'
]
const canBeReplaced = typeof process.execve === 'function' && process.platform !== 'win32'

if (isOlder(process.versions.node, needed)) {
  const bundled = findBundledNode()
  if (bundled !== null && !isWarmUp) handOver(bundled)
  else {
    process.stderr.write(
      `kiro-gateway needs Node ${needed} or newer and this is ${process.versions.node}: run "npm ci && npm start", which brings its own Node on most systems, or install a newer one.\n`
    )
    process.exitCode = isWarmUp ? 0 : 78
  }
} else if (isGateway && canBeReplaced && lacksFlags()) {
  handOver(process.execPath)
} else {
  // Without listeners these end the process; main.ts adds its own when loaded.
  if (isGateway) for (const signal of ['SIGHUP', 'SIGUSR2']) process.on(signal, () => {})
  enableCompileCache()
  if (isWarmUp) await warmUp()
  else if (isCommand) {
    const { runCli } = await load('cli/program/cli')
    process.exitCode = await runCli(process.argv.slice(2))
  } else await load('main')
}

/** Loads the sources of a clone, or `npm run build`'s output in a package, where Node reads no types. */
async function load(name) {
  try {
    return await import(urlOf(name))
  } catch (error) {
    const [, missing] = /^Cannot find package '([^']+)'/.exec(error && error.message) || []
    if (!missing || !isClone()) throw error
    process.stderr.write(
      `kiro-gateway: the package ${missing} is not installed. Run "npm ci" in ${root} first.\n`
    )
    process.exit(78)
  }
}

function isClone() {
  return fs.existsSync(path.join(root, 'src', 'main.ts'))
}

function urlOf(name) {
  const source = name.startsWith('workers/') ? `../${name}.ts` : `./${name}.ts`
  return new URL(isClone() ? source : `../dist/${name}.js`, import.meta.url)
}

/** V8 keeps code apart by flags: a worker's later threads start with those that its first one has set. */
async function warmUp() {
  for (const name of WARMED) await load(name)
  const { Worker } = await import('node:worker_threads')
  await once(new Worker(urlOf(WARMED[WARMED.length - 1])), 'exit')
}

function readNeededVersion() {
  const manifest = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8'))
  return manifest.engines.node.replace('>=', '')
}

/** A missing part counts as 0. */
function isOlder(version, other) {
  const numbers = version.split('.').map(Number)
  const wanted = other.split('.').map(Number)
  const at = wanted.findIndex((number, index) => number !== (numbers[index] || 0))
  return at !== -1 && (numbers[at] || 0) < wanted[at]
}

/** The Node installed with us; `null` without one that is new enough. */
function findBundledNode() {
  const system = process.platform === 'win32' ? 'win' : process.platform
  try {
    const { resolve } = nodeModule.createRequire(import.meta.url)
    const manifest = resolve(`node-${system}-${process.arch}/package.json`)
    const { version } = JSON.parse(fs.readFileSync(manifest, 'utf8'))
    const file = path.join(path.dirname(manifest), 'bin', system === 'win' ? 'node.exe' : 'node')
    return isOlder(version, needed) || !fs.existsSync(file) ? null : file
  } catch {
    return null
  }
}

/** Started by its name alone. A process with a channel would lose it to the next. */
function lacksFlags() {
  const isGiven = process.execArgv.some((flag) => /^--max[-_]old[-_]space[-_]size\b/.test(flag))
  return !isGiven && process.send === undefined
}

/** Runs this Node in our place, or as a child that gets our signals (before Node 22.15, and Windows). */
function handOver(node) {
  const flags = isGateway && lacksFlags() ? FLAGS : []
  const script = fileURLToPath(import.meta.url)
  const argv = [...flags, ...process.execArgv, script, ...process.argv.slice(2)]
  if (canBeReplaced) process.execve(node, [node, ...argv], process.env)
  const child = spawn(node, argv, { stdio: 'inherit' })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2']) {
    // Ctrl-C reaches both of us; it must only not end us first.
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

function enableCompileCache() {
  if (nodeModule.getCompileCacheDir() !== undefined) return // NODE_COMPILE_CACHE was set
  const beside = path.dirname(root)
  const modules =
    path.basename(beside) === 'node_modules' ? beside : path.join(root, 'node_modules')
  const parents = [path.join(modules, '.cache'), os.tmpdir()]
  const name = `kiro-gateway-${process.getuid ? process.getuid() : 'cache'}`
  const folder = parents.map((parent) => path.join(parent, name)).find(isOurs)
  if (folder === undefined) return
  nodeModule.enableCompileCache(folder)
  process.env.NODE_COMPILE_CACHE = folder // for the processes that we start
}

/** The folder exists or can be made, and only we can write to it: another writer could decide what we run. */
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

/** Not `recursive`: Node 24 never returns for a folder in /proc that cannot be made. */
function makeFolder(folder) {
  if (!fs.existsSync(folder)) fs.mkdirSync(folder, { mode: 0o700 })
}
