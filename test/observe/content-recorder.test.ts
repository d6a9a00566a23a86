import {
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { ContentRecorder } from '../../src/observe/content-recorder.ts'

const KIBIBYTE = 1024
/** Of several pieces. */
const LONG = '🙂'.repeat(20_000)

interface Given {
  readonly maxBytes?: number
  readonly maxAgeMs?: number
  readonly bufferBytes?: number
  readonly now?: () => number
}

function recorderIn(t: Test, folder: string, given: Given = {}) {
  const { maxBytes = 1024 * KIBIBYTE, maxAgeMs = 1e9, bufferBytes = 64 * KIBIBYTE, now } = given
  const warnings: string[] = []
  const recorder = new ContentRecorder({
    folder,
    limits: () => ({ maxBytes, maxAgeMs }),
    writers: 1,
    bufferBytes,
    log: { warn: (_facts, message) => warnings.push(message) },
    ...(now !== undefined && { now })
  })
  t.teardown(() => recorder.close())
  return { recorder, warnings }
}

function atNoon(): number {
  return Date.parse('2026-11-26T12:00:01Z')
}

function noSecrets(): readonly string[] {
  return []
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(join(folder, 'captures')).toSorted()
  } catch {
    return []
  }
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await delay(20)
}

t.test('leaves no file open that could not be written to its end', async (t) => {
  const folder = join(t.testdir({}), 'debug')
  const { recorder, warnings } = recorderIn(t, folder)
  let isBroken = false
  const capture = recorder.open('req', () => {
    if (isBroken) throw new Error('the disk is full')
    return []
  })
  for (const name of ['one', 'two', 'three']) capture?.append(name, Buffer.alloc(8 * KIBIBYTE, 'x'))
  await capture?.settled()
  isBroken = true
  await capture?.keep({})
  t.equal(warnings.length, 1)
  const open = readdirSync('/proc/self/fd').filter((fd) => linkOf(fd).startsWith(folder))
  t.same(open, [])
})

function linkOf(fd: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`)
  } catch {
    return '' // it was that of the list
  }
}

t.test('keeps a capture in files of our own, piece by piece', async (t) => {
  const folder = join(t.testdir({}), 'debug')
  const { recorder } = recorderIn(t, folder)
  const capture = recorder.open('req/../1', noSecrets)
  capture?.append('frames', Buffer.from('one '))
  capture?.hold('frames', LONG)
  capture?.append('frames', Buffer.from(' two'))
  await capture?.settled()
  const [open = ''] = namesIn(folder)
  t.match(open, /^\d{8}T\d{9}Z-req1-[0-9a-f]{8}\.open$/)
  await capture?.keep({ status: 200 })
  const [name = ''] = namesIn(folder)
  t.equal(`${name}.open`, open)
  const path = join(folder, 'captures', name)
  t.equal(statSync(join(folder, 'captures')).mode & 0o777, 0o700)
  t.equal(statSync(path).mode & 0o777, 0o700)
  for (const file of readdirSync(path)) t.equal(statSync(join(path, file)).mode & 0o777, 0o600)
  t.ok(readFileSync(join(path, 'frames'), 'utf8') === `one ${LONG} two`)
  t.match(JSON.parse(readFileSync(join(path, 'capture.json'), 'utf8')), { status: 200, cut: null })
})

t.test('requests of one id in one millisecond have a capture each', async (t) => {
  const folder = t.testdir({})
  const { recorder, warnings } = recorderIn(t, folder, { now: () => Date.UTC(2026, 10, 24) })
  const captures = ['one', 'two', 'three', 'unwanted'].map((words) => {
    const capture = recorder.open('same', noSecrets)
    capture?.append('frames', Buffer.from(words))
    return capture
  })
  for (const capture of captures) await capture?.settled()
  await captures.pop()?.discard()
  for (const capture of captures) await capture?.keep({})
  const kept = namesIn(folder).map((name) =>
    readFileSync(join(folder, 'captures', name, 'frames'), 'utf8')
  )
  t.same(kept.toSorted(), ['one', 'three', 'two'])
  t.same(warnings, [])
})

t.test('leaves nothing of one that is not wanted', async (t) => {
  const folder = t.testdir({})
  const { recorder } = recorderIn(t, folder)
  const capture = recorder.open('r', noSecrets)
  capture?.append('frames', Buffer.from('one'))
  await capture?.settled()
  await capture?.discard()
  t.same(namesIn(folder), [])
})

t.test('one that is too large is cut off, and says so', async (t) => {
  const folder = t.testdir({})
  const { recorder } = recorderIn(t, folder)
  const capture = recorder.open('r', noSecrets)
  capture?.hold('body', Buffer.alloc(200 * KIBIBYTE, 'a'))
  await capture?.settled()
  await capture?.keep({})
  const path = join(folder, 'captures', namesIn(folder)[0] ?? '')
  t.equal(JSON.parse(readFileSync(join(path, 'capture.json'), 'utf8')).cut, 'it is too large')
  t.ok(statSync(join(path, 'body')).size <= 128 * KIBIBYTE, 'an eighth of all')
})

t.test('what waits for the disk is bounded', async (t) => {
  const folder = t.testdir({})
  const { recorder } = recorderIn(t, folder, { bufferBytes: 10_000 })
  const [slow, other] = [recorder.open('slow', noSecrets), recorder.open('other', noSecrets)]
  for (let n = 0; n < 20; n++) slow?.append('frames', Buffer.alloc(1000))
  t.equal(slow?.cut, 'the disk was too slow')
  other?.append('frames', Buffer.alloc(1000))
  t.equal(other?.cut, null, 'what it held is free again')
  await slow?.keep({})
  await other?.keep({})
})

t.test('the oldest go first: by bytes, by number, by age', async (t) => {
  const folder = t.testdir({})
  const captures = join(folder, 'captures')
  mkdirSync(captures)
  const make = (name: string, bytes: number): void => {
    mkdirSync(join(captures, name))
    writeFileSync(join(captures, name, 'frames'), Buffer.alloc(bytes))
  }
  make('20200101T000000000Z-old', 10)
  make('20261126T100000000Z-large', 400 * KIBIBYTE)
  make('20261126T110000000Z-killed.open', 200 * KIBIBYTE)
  make('20261126T120000000Z-new', 10)
  make('of-somebody-else', 10)
  const { recorder } = recorderIn(t, folder, { now: atNoon, maxAgeMs: 86_400_000 })
  await until(() => namesIn(folder).length === 3)
  t.same(namesIn(folder), [
    '20261126T110000000Z-killed.open',
    '20261126T120000000Z-new',
    'of-somebody-else'
  ])
  for (let n = 0; n < 250; n++) make(`20261126T130000${String(n).padStart(3, '0')}Z-r`, 1)
  await recorder.open('last', noSecrets)?.keep({})
  await until(() => namesIn(folder).length === 201)
  t.ok(namesIn(folder).includes('of-somebody-else'))
})

t.test('so many at once, and then none', async (t) => {
  const folder = t.testdir({})
  const { recorder, warnings } = recorderIn(t, folder)
  const opened = Array.from({ length: 40 }, () => recorder.open('r', noSecrets))
  const captures = opened.filter((one) => one !== null)
  t.equal(captures.length, 32)
  t.equal(warnings.length, 1, 'said once')
  await Promise.all(captures.map((one) => one.discard()))
  t.not(recorder.open('r', noSecrets), null)
})

t.test('a folder that cannot be written costs the captures alone', async (t) => {
  const folder = join(t.testdir({ file: '' }), 'file')
  const { recorder, warnings } = recorderIn(t, folder)
  const capture = recorder.open('r', noSecrets)
  capture?.append('frames', Buffer.alloc(10_000))
  await capture?.settled()
  t.equal(capture?.cut, 'it could not be written')
  await capture?.keep({})
  t.match(warnings, ['captures cannot be written; check DEBUG_DIR'])
})
