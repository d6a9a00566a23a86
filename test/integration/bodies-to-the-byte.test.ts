import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { planMemory } from '../../src/config/memory-plan.ts'
import { changeKeys, keysPath } from '../../src/keys/key-store.ts'
import { Random } from '../chaos/random.ts'
import {
  CUTS,
  GENERATIONS,
  LOCAL,
  Sender,
  type Upload,
  uploadOf,
  type UploadPath
} from '../helper/body-upload.ts'
import { CountingUpstream } from '../helper/counting-upstream.ts'
import { FakeAuthServer } from '../helper/fake-auth-server.ts'
import { type GatewayProcess, startGateway } from '../helper/gateway-process.ts'
import { hashOfKey, namedKey } from '../helper/named-key.ts'
import { isNightly } from '../helper/nightly.ts'
import { strangersIn, wordsOf } from '../helper/own-words.ts'
import { headOf, type RawAnswer, RawConnection } from '../helper/raw-connection.ts'
import { stateFolder } from '../helper/state-folder.ts'
import { endFrame, textFrame } from '../helper/upstream-frames.ts'

/**
 * What is read of a request is to the byte what was sent: at any size, however it comes, and whatever the request waits for
 * before its body is read. `NIGHTLY=1 node test/integration/bodies-to-the-byte.test.ts` tries every size in every way.
 */

t.setTimeout(3_600_000) // real processes, on a machine that may be busy

const KIB = 1024
/** Around the limits of Node's buffers, of the lane for small bodies, and of conversions on the event loop. */
const SIZES = [
  1, 2, 60, 100, 1_000, 4_095, 4_096, 4_097, 16_383, 16_384, 16_385, 32_768, 65_000, 65_535, 65_536,
  65_537, 70_000, 100_000, 131_071, 131_072, 131_073, 200_000, 262_145, 300_000
]
const LARGE_SIZES = [1, 4, 11].map((megabytes) => megabytes * KIB * KIB)
/** Of each way, where the run is not whole. */
const SIZES_OF_A_WAY = 2
/** Uploads at once: a worker captures 32 requests, and there may be one before each. */
const AT_ONCE = 15
const OPERATOR = 'operator-key-0123456789'
const LIMITED = 'kgw_limited-key-0123456789abcdef'
const MEMORY = 512
/** Captures are there at once. */
const CAPTURE_MS = 30_000
const random = new Random(23)

/** Answers at once, or when it is let, and notes what it was asked. */
class Upstream {
  /** By whose words they were. */
  readonly asked = new Map<string, string>()
  readonly #held: ServerResponse[] = []
  #isHolding = false
  url = ''

  async start(t: Test): Promise<this> {
    const { url } = await CountingUpstream.start(t, (request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => this.#take(Buffer.concat(chunks).toString(), response))
    })
    this.url = url.origin
    return this
  }

  /** From now on requests wait for their answers. */
  hold(): void {
    this.#isHolding = true
  }

  /** Resolves when one waits. */
  async holds(): Promise<void> {
    while (this.#held.length === 0) await turn()
  }

  release(): void {
    this.#isHolding = false
    for (const response of this.#held.splice(0)) answer(response)
  }

  #take(text: string, response: ServerResponse): void {
    const payload = JSON.parse(text === '' ? '{}' : text) as Payload
    const content = payload.conversationState?.currentMessage.userInputMessage.content
    if (content === undefined) return void response.writeHead(404).end()
    this.asked.set(/owner=([\w-]+);/.exec(content)?.[1] ?? '', content)
    if (this.#isHolding) this.#held.push(response)
    else answer(response)
  }
}

interface Payload {
  readonly conversationState?: {
    readonly currentMessage: { readonly userInputMessage: { readonly content: string } }
  }
}

function answer(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'application/vnd.amazon.eventstream' })
  response.end(Buffer.concat([textFrame('read'), endFrame]))
}

function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 5))
}

/** What keeps requests from being read, until the function that it gives is called. */
type Wait = () => Promise<() => void>

class Rig {
  readonly upstream: Upstream
  readonly gateway: GatewayProcess
  /** By what requests waited for: how many there were, and how many of them were not as they had been sent. */
  readonly counts: Record<string, { asked: number; wrong: number }> = {}

  constructor(upstream: Upstream, gateway: GatewayProcess) {
    this.upstream = upstream
    this.gateway = gateway
  }

  static async start(
    t: Test,
    env: Record<string, string> = {},
    tokenLifeMs = 3_600_000
  ): Promise<Rig> {
    const stateDir = stateFolder(t)
    const limited = namedKey({ hashes: [hashOfKey(LIMITED)], maxStreams: 1 })
    await changeKeys(keysPath(stateDir), () => [limited], new AbortController().signal)
    const upstream = await new Upstream().start(t)
    const gateway = await startGateway({
      upstreamUrl: upstream.url,
      tokenLifeMs,
      env: {
        WORKERS: '1',
        MEMORY_LIMIT: `${MEMORY}M`,
        TRANSFORM_TIMEOUT: '60', // CPU time, which a busy machine makes longer
        PROXY_API_KEY: OPERATOR,
        STATE_DIR: stateDir,
        DEBUG_MODE: 'all',
        DEBUG_CONTENT: 'true',
        FAKE_REASONING: 'false',
        ...env
      },
      keeps: ({ msg }) => msg === 'gateway ready'
    })
    t.teardown(() => gateway.destroy())
    return new Rig(upstream, gateway)
  }

  /** Sends all of them while they have to wait, and looks at what was read of each. */
  async check(
    t: Test,
    uploads: readonly Upload[],
    {
      name,
      key = OPERATOR,
      first = '',
      wait
    }: { name: string; key?: string; first?: string; wait: Wait }
  ): Promise<void> {
    for (let at = 0; at < uploads.length; at += AT_ONCE) {
      const release = await wait()
      const some = uploads.slice(at, at + AT_ONCE)
      const { url } = this.gateway
      const senders = await Promise.all(
        some.map((upload) => Sender.begin(url, { upload, key, first }))
      )
      if (name !== 'nothing')
        t.notOk(
          some.some(({ id }) => this.upstream.asked.has(id)),
          `${name}: they wait`
        )
      release()
      const problems = await Promise.all(senders.map((sender) => this.#problemOf(sender)))
      const wrong = problems.filter((problem) => problem !== null)
      t.same(wrong, [], `${some.length} that wait for ${name}`)
      const count = (this.counts[name] ??= { asked: 0, wrong: 0 })
      count.asked += some.length
      count.wrong += wrong.length
      this.#forgetCaptures()
    }
  }

  async #problemOf(sender: Sender): Promise<string | null> {
    const { id, path, cut, isEarly, body, text, isRefused } = sender.upload
    const what = `${path}, ${body.byteLength} bytes, ${cut}, ${isEarly ? 'all' : 'half'} before`
    const read = await sender
      .end()
      .catch((error: Error): RawAnswer => ({ status: 0, body: error.message }))
    if (read.status !== (isRefused && path !== '/v1/lint' ? 400 : 200))
      return `${what}: ${read.status} ${read.body.slice(0, 200)}`
    if (strangersIn(read.body, id).length > 0) return `${what}: words of others in its answer`
    const isAsked = GENERATIONS.some((one) => one === path) && !isRefused
    if (isAsked && !(this.upstream.asked.get(id) ?? '').includes(text))
      return `${what}: something else went upstream`
    this.upstream.asked.delete(id)
    const captured = await this.#captured(id, body)
    return captured === 'same' ? null : `${what}: ${captured}`
  }

  /** Whether what the gateway has captured of a request is its body, or the beginning of it where the disk was too slow. */
  async #captured(
    id: string,
    body: Buffer
  ): Promise<'same' | 'something else was read' | 'not captured'> {
    const folder = await this.#captureOf(id)
    if (folder === null) return 'not captured'
    const file = join(folder, 'client-request')
    const captured = existsSync(file) ? readFileSync(file) : Buffer.alloc(0) // it had no time
    const facts = readFileSync(join(folder, 'capture.json'), 'utf8')
    const { cut } = JSON.parse(facts) as { readonly cut: string | null }
    const isSame = body.subarray(0, cut === null ? body.length : captured.length).equals(captured)
    return isSame ? 'same' : 'something else was read'
  }

  /** Room for the next captures: the oldest of 200 are deleted. */
  #forgetCaptures(): void {
    const captures = join(this.gateway.folder, 'debug_logs', 'captures')
    for (const name of readdirSync(captures)) {
      if (!name.endsWith('.open')) rmSync(join(captures, name), { recursive: true })
    }
  }

  /** Where it is, once it is whole. */
  async #captureOf(id: string): Promise<string | null> {
    const captures = join(this.gateway.folder, 'debug_logs', 'captures')
    const deadline = performance.now() + CAPTURE_MS
    while (performance.now() < deadline) {
      const names = existsSync(captures) ? readdirSync(captures) : []
      const name = names.find((one) => one.includes(`-${id}-`) && !one.endsWith('.open'))
      if (name !== undefined) return join(captures, name)
      await turn()
    }
    return null
  }
}

/** Signs in with a key that is the last of the body; behind another request, which is answered first. */
async function signIn(
  t: Test,
  { gateway, upstream }: Rig,
  { bytes, cut, isEarly }: Pick<Upload, 'cut' | 'isEarly'> & { readonly bytes: number }
): Promise<void> {
  const rest = { key: OPERATOR, pad: '' }
  const body = Buffer.from(
    JSON.stringify({ pad: 'x'.repeat(bytes - JSON.stringify(rest).length), key: OPERATOR })
  )
  const upload = {
    path: '/dashboard/session',
    cut,
    isEarly,
    body,
    id: 'sign-in',
    text: '',
    isRefused: false
  } as const
  upstream.hold()
  const sender = await Sender.begin(gateway.url, { upload, key: OPERATOR, first: firstOfTwo() })
  upstream.release()
  const { status, body: said } = await sender.end()
  t.match({ status, said }, { status: 200, said: '"isSignedIn":true' }, `${bytes} bytes, ${cut}`)
}

/** Uploads of all ways, of a few sizes each. */
function uploadsFor(paths: readonly UploadPath[]): readonly Upload[] {
  const ways = paths.flatMap((path) =>
    CUTS.flatMap((cut) => [true, false].map((isEarly) => ({ path, cut, isEarly })))
  )
  const chosen = ways.flatMap((way) => {
    const sizes = isNightly
      ? wholeSizes()
      : [random.pick(SIZES.slice(0, 12))!, random.pick(SIZES.slice(12))!]
    return sizes
      .slice(0, isNightly ? Infinity : SIZES_OF_A_WAY)
      .map((bytes) => uploadOf({ ...way, bytes }))
  })
  return chosen
}

/** In steps that are no multiple of anything. */
function wholeSizes(): readonly number[] {
  const steps = Array.from({ length: 38 }, (_, index) => (index + 1) * 7_877)
  return [...SIZES, ...steps].toSorted((a, b) => a - b)
}

function atOnce(): Promise<() => void> {
  return Promise.resolve(() => {})
}

/** A request that the upstream keeps waiting. */
function heldRequest(rig: Rig, key: string): Wait {
  return async () => {
    const body = JSON.stringify({
      model: 'auto',
      messages: [{ role: 'user', content: wordsOf('holder', 1) }]
    })
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
    rig.upstream.hold()
    void fetch(`${rig.gateway.url}/v1/chat/completions`, { method: 'POST', headers, body }).then(
      (one) => one.text()
    )
    await rig.upstream.holds()
    return () => rig.upstream.release()
  }
}

/** A request before another one on its connection. */
function firstOfTwo(): string {
  const body = JSON.stringify({
    model: 'auto',
    messages: [{ role: 'user', content: wordsOf('first', 1) }]
  })
  const head = headOf('/v1/chat/completions', {
    authorization: `Bearer ${OPERATOR}`,
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body)
  })
  return head + body
}

/** What takes all memory for bodies: requests of which the larger part has come, and the rest is not sent. */
function fullMemory(rig: Rig): Wait {
  const { bodyBytesPerWorker, smallLaneBytesPerWorker } = planMemory(MEMORY * KIB * KIB, {
    workers: 1,
    threads: 1
  })
  return async () => {
    const blockers: RawConnection[] = []
    const block = async (bytes: number): Promise<void> => {
      const connection = await RawConnection.open(rig.gateway.url)
      blockers.push(connection)
      const head = headOf('/v1/chat/completions', {
        authorization: `Bearer ${OPERATOR}`,
        'content-length': bytes
      })
      await connection.send(Buffer.concat([Buffer.from(head), Buffer.alloc(bytes * 0.9, ' ')]))
    }
    for (let left = bodyBytesPerWorker; left >= 4; ) {
      const isLarge = left >= 512 * KIB
      const bytes = Math.floor(isLarge ? Math.min(left / 2, 11 * KIB * KIB) : left / 4)
      await block(bytes)
      left -= bytes * (isLarge ? 2 : 4)
    }
    for (let left = smallLaneBytesPerWorker; left > 0; left -= 512 * KIB) await block(128 * KIB)
    return () => {
      for (const connection of blockers) connection.close()
    }
  }
}

t.test('bodies', async (t) => {
  const rig = await Rig.start(t)
  t.teardown(() => t.comment(rig.counts))

  await t.test('that are wanted at once', (t) =>
    rig.check(t, uploadsFor([...GENERATIONS, ...LOCAL]), { name: 'nothing', wait: atOnce })
  )
  await t.test('that wait for a stream of their key', (t) =>
    rig.check(t, uploadsFor(GENERATIONS), {
      name: 'a stream',
      key: LIMITED,
      wait: heldRequest(rig, LIMITED)
    })
  )
  await t.test('that wait for memory', (t) =>
    rig.check(t, uploadsFor([...GENERATIONS, ...LOCAL]), { name: 'memory', wait: fullMemory(rig) })
  )
  await t.test('that come behind another request on their connection', (t) => {
    const wait: Wait = async () => {
      rig.upstream.hold()
      return () => rig.upstream.release()
    }
    const uploads = uploadsFor([...GENERATIONS, ...LOCAL])
    return rig.check(t, uploads, { name: 'the request before', first: firstOfTwo(), wait })
  })

  await t.test('of megabytes', async (t) => {
    const stream = { name: 'a stream', key: LIMITED, wait: heldRequest(rig, LIMITED) }
    for (const bytes of LARGE_SIZES) {
      for (const isEarly of isNightly ? [true, false] : [true]) {
        const of = (path: UploadPath) => [uploadOf({ path, bytes, cut: 'many', isEarly })]
        for (const path of isNightly ? LOCAL : LOCAL.slice(0, 1))
          await rig.check(t, of(path), { name: 'nothing', wait: atOnce })
        for (const path of isNightly ? GENERATIONS : GENERATIONS.slice(1, 2))
          await rig.check(t, of(path), stream)
      }
    }
  })

  await t.test('of the dashboard', async (t) => {
    for (const bytes of [80, 500, 1_000, 2_000, 4_096]) {
      for (const cut of CUTS) {
        for (const isEarly of [true, false]) await signIn(t, rig, { bytes, cut, isEarly })
      }
    }
  })
})

t.test('bodies that wait for a token', async (t) => {
  const auth = await new FakeAuthServer('test-refresh-token').listen()
  t.teardown(() => auth.close())
  const { promise: renewal, resolve: renew } = Promise.withResolvers<void>()
  let calls = 0
  auth.beforeReply = async () => {
    const call = ++calls
    await renewal
    // On a busy machine the gateway has given up a call by then, and asks again: only one may use the token up.
    if (call < calls) await new Promise(() => {})
  }
  const rig = await Rig.start(t, { KIRO_AUTH_URL: auth.url }, -1_000)
  const uploads = uploadsFor(GENERATIONS).slice(0, AT_ONCE)
  await rig.check(t, uploads, { name: 'a token', wait: async () => renew })
  t.comment(rig.counts)
})
