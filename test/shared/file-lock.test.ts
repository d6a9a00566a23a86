import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { FileLock, lockPathOf } from '../../src/shared/file-lock.ts'

const never = new AbortController().signal

function rig(t: Test, ttlMs?: number) {
  const dir = t.testdir({ source: {} })
  const path = join(dir, 'source', '.token.json.lock')
  const fallbackPath = join(dir, 'state', 'credentials', 'id.lock')
  const ttl = ttlMs === undefined ? {} : { ttlMs }
  return {
    dir,
    path,
    fallbackPath,
    create: () => new FileLock({ path, fallbackPath, note: 'test', ...ttl })
  }
}

/** A process that takes the lock and keeps it until it is killed. */
async function holder(t: Test, path: string): Promise<ChildProcess> {
  const child = spawn(
    process.execPath,
    ['--input-type=module', '-e', HOLD, import.meta.dirname, path],
    { stdio: ['ignore', 'pipe', 'inherit'] }
  )
  t.teardown(() => child.kill('SIGKILL'))
  if (child.stdout === null) throw new Error('no stdout')
  await once(child.stdout, 'data')
  return child
}

const HOLD = `
  const [, folder, path] = process.argv
  const { FileLock } = await import(folder + '/../../src/shared/file-lock.ts')
  await new FileLock({ path, fallbackPath: path + '-none', note: 'test', ttlMs: 600_000 }).acquire(new AbortController().signal)
  process.stdout.write('held')
  setInterval(() => {}, 1000)
`

t.test('FileLock', (t) => {
  t.test('is had by one at a time, in this process and others', async (t) => {
    const { create, path } = rig(t)
    const running = new Set<number>()
    let most = 0
    await Promise.all(
      Array.from({ length: 8 }, async (_, index) => {
        const lock = await create().acquire(never)
        running.add(index)
        most = Math.max(most, running.size)
        await new Promise((resolve) => setTimeout(resolve, 5))
        running.delete(index)
        await lock?.release()
      })
    )
    t.equal(most, 1)
    t.notOk(existsSync(path))
  })
  t.test('says whose it is and until when, and nothing of the sign-in', async (t) => {
    const { create, path } = rig(t)
    const lock = await create().acquire(never)
    const { pid, owner, expiresAt } = JSON.parse(readFileSync(path, 'utf8')) as Record<
      string,
      string
    >
    t.equal(Number(pid), process.pid)
    t.ok(owner)
    t.ok(Date.parse(expiresAt ?? '') > Date.now())
    await lock?.release()
  })
  t.test('of a process that was killed is nobody’s', async (t) => {
    const { create, path, dir } = rig(t)
    const child = await holder(t, path)
    const waiting = create().acquire(never)
    const early = await Promise.race([waiting, new Promise((resolve) => setTimeout(resolve, 200))])
    t.equal(early, undefined, 'it lives')
    child.kill('SIGKILL')
    const lock = await waiting
    t.ok(lock)
    await lock?.release()
    t.same(readdirSync(join(dir, 'source')), [], 'nothing is left')
  })
  t.test('of a process that cannot be seen lapses when it is not extended', async (t) => {
    const { create, path } = rig(t, 300)
    const foreign = { owner: 'x', place: 'elsewhere', pid: 1, expiresAt: '2100-01-01T00:00:00Z' }
    writeFileSync(path, JSON.stringify(foreign))
    const startedAt = performance.now()
    const lock = await create().acquire(never)
    t.ok(performance.now() - startedAt >= 290)
    t.match(JSON.parse(readFileSync(path, 'utf8')), { pid: process.pid })
    await lock?.release()
  })
  t.test('is told as taken once, and only while another process has it', async (t) => {
    const { path, fallbackPath } = rig(t)
    let told = 0
    const onTaken = (): number => told++
    const options = { path, fallbackPath, note: 'test', ttlMs: 300, onTaken }
    const first = await new FileLock(options).acquire(never)
    await first?.release()
    writeFileSync(path, JSON.stringify({ owner: 'x', place: 'elsewhere', pid: 1 }))
    t.equal(told, 0)
    await (await new FileLock(options).acquire(never))?.release()
    t.equal(told, 1)
  })
  t.test('can be extended, but not once it was taken over', async (t) => {
    const { create, path } = rig(t, 300)
    const lock = await create().acquire(never)
    const before = readFileSync(path, 'utf8')
    await new Promise((resolve) => setTimeout(resolve, 10))
    await lock?.extend()
    t.not(readFileSync(path, 'utf8'), before)
    writeFileSync(path, JSON.stringify({ owner: 'another' }))
    await t.rejects(lock?.extend() ?? Promise.resolve(), { code: 'GW_NOT_READY' })
    await lock?.release()
    t.match(readFileSync(path, 'utf8'), 'another', 'what is another’s stays')
  })
  t.test('without content, or damaged, does not stay for ever', async (t) => {
    for (const text of ['', '{"owner":', 'x'.repeat(5000)]) {
      const { create, path } = rig(t, 200)
      writeFileSync(path, text)
      const lock = await create().acquire(never)
      t.ok(lock)
      await lock?.release()
    }
  })
  t.test('is one and the same for those who come by a link', (t) => {
    const dir = t.testdir({ real: { token: '' }, by: {} })
    symlinkSync(join(dir, 'real', 'token'), join(dir, 'by', 'name'))
    symlinkSync(join(dir, 'real'), join(dir, 'folder'))
    const lock = lockPathOf(join(dir, 'real', 'token'))
    t.equal(lock, join(dir, 'real', '.token.kiro-gateway.lock'))
    t.equal(lockPathOf(join(dir, 'by', 'name')), lock)
    t.equal(lockPathOf(join(dir, 'folder', 'token')), lock)
    t.equal(lockPathOf(join(dir, 'not-there')), join(dir, '.not-there.kiro-gateway.lock'))
    t.end()
  })
  t.test('goes where there is room for it', async (t) => {
    const { fallbackPath, dir } = rig(t)
    const nowhere = join(dir, 'not', 'there', 'lock')
    const lock = await new FileLock({ path: nowhere, fallbackPath, note: 'test' }).acquire(never)
    t.equal(lock?.path, fallbackPath)
    await lock?.release()
    writeFileSync(join(dir, 'file'), '')
    const none = new FileLock({
      path: null,
      fallbackPath: join(dir, 'file', 'credentials', 'x'),
      note: 'test'
    })
    t.equal(await none.acquire(never), null)
  })
  t.test('is not waited for any longer when the signal aborts', async (t) => {
    const { create } = rig(t)
    const lock = await create().acquire(never)
    const abort = new AbortController()
    const waiting = t.rejects(create().acquire(abort.signal))
    abort.abort(new Error('leaving'))
    await waiting
    await lock?.release()
  })
  t.end()
})
