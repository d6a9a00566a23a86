import { mkdirSync } from 'node:fs'
import { runKiroGateway } from '../../helper/cli-process.ts'
import type { LoopDelay } from '../loop-delay-probe.ts'
import { LoopDelays } from '../loop-delays.ts'
import type { Line, Row } from '../row.ts'
import { gatewayAnswer, progress } from '../stand.ts'
import type { Target } from '../target.ts'
import { fillRecord } from '../usage-record.ts'
import { addKey } from './recording.ts'

const Streams = { conversation: 'short', streams: 16, answer: gatewayAnswer } as const
const MostMs = 20
const OperatorKey = 'bench-key-of-the-operator'
/** A tenth of the rows is older than what is kept, so that some are deleted with each batch that is written. */
const Days = 100

/** The longest that the event loops of a gateway stood still by themselves in one round. */
interface Round {
  readonly primary: number
  readonly workers: number
}

/**
 * Whether recording makes event loops stand still: a gateway with two million requests in its record, which are asked about
 * all the time, by the command and by `GET /v1/usage`; beside it, in turn, one that records nothing.
 */
export const stallsRow: Row = {
  name: 'stalls',
  async run(stand) {
    const delays = new LoopDelays(stand.nextFolder())
    const env = { ...delays.env, PROXY_API_KEY: OperatorKey }
    const rows = stand.isQuick ? 200_000 : 2_000_000
    const folder = stand.nextFolder()
    mkdirSync(folder, { recursive: true })
    await fillRecord(folder, { rows, days: Days })
    progress(`stalls: ${rows} requests are recorded`)
    const recording = await stand.gateway({ env: { ...env, STATE_DIR: folder } })
    const plain = await stand.gateway({ env: { ...env, USAGE_LOG: 'false' } })
    const key = await addKey(recording, folder, 'anna', '--credits', '1000000/month')
    await stand.play({ events: 100, gapMs: 0, firstMs: 0 })
    const requests = stand.isQuick ? 2000 : 5000
    const load = ({ url }: Target, key: string) => stand.load({ ...Streams, url, key, requests })
    await load(recording, key)
    await load(plain, OperatorKey)
    const ours: Round[] = []
    const theirs: Round[] = []
    let asked = 0
    for (let round = 0; round < (stand.isQuick ? 1 : 6); round++) {
      await delays.of(recording) // forgets what was before
      asked += await whileAsking({ recording, stateDir: folder, key }, () => load(recording, key))
      ours.push(roundOf(await delays.of(recording)))
      await delays.of(plain)
      await load(plain, OperatorKey)
      theirs.push(roundOf(await delays.of(plain)))
      progress(`stalls: ${JSON.stringify({ ours: ours.at(-1), theirs: theirs.at(-1) })}`)
    }
    await Promise.all([stand.end(recording), stand.end(plain)])
    const samples = `${ours.length} × ${requests} requests, ${rows / 1e6} million recorded, ${asked} questions meanwhile`
    const line = (what: string, name: keyof Round): Line => ({
      what,
      unit: 'ms',
      gateway: [Math.max(...ours.map((round) => round[name]))],
      passthrough: [Math.max(...theirs.map((round) => round[name]))],
      must: { most: MostMs },
      samples
    })
    return [
      line(
        'longest stall of the primary while it records; passthrough: records nothing',
        'primary'
      ),
      line('  of a worker', 'workers')
    ]
  }
}

interface Asked {
  readonly recording: Target
  readonly stateDir: string
  readonly key: string
}

/** Asks all the time until `work` is done. Resolves with how often. */
async function whileAsking(
  { recording, stateDir, key }: Asked,
  work: () => Promise<unknown>
): Promise<number> {
  let isOver = false
  let asked = 0
  const over = work().finally(() => {
    isOver = true
  })
  const asking = async (): Promise<void> => {
    for (; !isOver; asked += 1) await ask(recording, stateDir, key)
  }
  await Promise.all([over, asking()])
  return asked
}

async function ask({ url }: Target, stateDir: string, key: string): Promise<void> {
  const args = ['usage', '--by', 'key', '--since', '30d']
  const [{ code, stderr }, response] = await Promise.all([
    runKiroGateway(args, { cwd: stateDir, env: { STATE_DIR: stateDir } }),
    fetch(`${url}/v1/usage`, { headers: { 'x-api-key': key } })
  ])
  const text = await response.text()
  if (code !== 0) throw new Error(stderr)
  if (response.status !== 200) throw new Error(text)
}

function roundOf([primary, ...workers]: readonly LoopDelay[]): Round {
  if (primary === undefined) throw new Error('the gateway has no processes')
  return {
    primary: primary.ownWorst,
    workers: Math.max(...workers.map(({ ownWorst }) => ownWorst))
  }
}
