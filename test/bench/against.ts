import type { ConversationName, Wording } from './conversation.ts'
import { ProcessTree } from './process-tree.ts'
import { progress, Stand } from './stand.ts'
import { quantile } from './statistics.ts'
import type { AnswerScript } from './upstream.ts'

export interface AgainstOptions {
  readonly url: string
  readonly wording: Wording
  readonly key: string | undefined
  /** First process of the gateway, if it runs here: its tree's CPU time and memory are told, too. */
  readonly pid: number | null
  /** Where it expects its upstream to listen; 0: it has one of its own, which answers as it likes. */
  readonly upstreamPort: number
  readonly isQuick: boolean
}

interface Case {
  readonly what: string
  readonly script: AnswerScript
  readonly conversation: ConversationName
  readonly streams: number
  readonly requests: number
}

const AtOnce = { events: 100, gapMs: 0, firstMs: 0 } as const
const Paced = { events: 100, gapMs: 20, firstMs: 0 } as const
const Few = { events: 10, gapMs: 0, firstMs: 0 } as const
const OneAtATime = { conversation: 'short', streams: 1 } as const

const Cases: readonly Case[] = [
  { what: 'one at a time', script: AtOnce, ...OneAtATime, requests: 200 },
  {
    what: '100 events at once',
    script: AtOnce,
    conversation: 'short',
    streams: 16,
    requests: 1500
  },
  {
    what: '  each an HTTP chunk',
    script: { ...AtOnce, isChunked: true },
    conversation: 'short',
    streams: 16,
    requests: 1500
  },
  {
    what: '100 events 20 ms apart',
    script: Paced,
    conversation: 'short',
    streams: 37,
    requests: 111
  },
  { what: '290 such streams', script: Paced, conversation: 'short', streams: 290, requests: 580 },
  { what: '400 KB, 20 tools', script: Few, conversation: 'long', streams: 16, requests: 160 }
]
/** With an upstream that costs something. */
const OwnUpstream: readonly Case[] = [
  { what: 'one at a time', script: Few, ...OneAtATime, requests: 10 },
  { what: 'eight at a time', script: Few, conversation: 'short', streams: 8, requests: 24 }
]

/** The bench's load at any gateway that speaks Chat Completions or Messages. Prints a line for each case. */
export async function runAgainst(options: AgainstOptions): Promise<void> {
  const stand = new Stand({ isQuick: options.isQuick })
  const tree = options.pid === null ? null : new ProcessTree(options.pid)
  try {
    await stand.start(options.upstreamPort)
    process.stdout.write(`${options.url}, ${options.wording.dialect}, ${options.wording.model}\n`)
    for (const one of options.upstreamPort === 0 ? OwnUpstream : Cases) {
      progress(one.what)
      process.stdout.write(`${one.what.padEnd(26)}${await measure(stand, options, tree, one)}\n`)
    }
  } finally {
    await stand.close()
  }
}

/** Says what went wrong where an answer was not whole, and goes on: others may be. */
async function measure(
  stand: Stand,
  { url, wording, key, isQuick }: AgainstOptions,
  tree: ProcessTree | null,
  { script, conversation, streams, requests: all }: Case
): Promise<string> {
  const requests = isQuick ? Math.max(streams, Math.ceil(all / 5)) : all
  const mark = wording.dialect === 'chat' ? '[DONE]' : 'message_stop'
  const load = { url, wording, answer: { mark }, conversation, streams, requests }
  await stand.play(script)
  try {
    const send = () => stand.load({ ...load, ...(key !== undefined && { key }) })
    if (!isQuick) await send() // code is compiled, connections are open
    const before = tree?.cpuMs() ?? 0
    const { firstByteMs, wallMs } = await send()
    const cpuMs = ((tree?.cpuMs() ?? 0) - before) / requests
    const [p50, p99] = [0.5, 0.99].map((part) => quantile(firstByteMs, part).toFixed(1))
    const rate = `${((requests / wallMs) * 1000).toFixed(0)} a second`
    const times = `first byte p50 ${p50} ms, p99 ${p99} ms, ${rate}`
    if (tree === null) return times
    return `${times}, ${cpuMs.toFixed(2)} ms of CPU an answer, ${tree.pssMb().toFixed(0)} MB`
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}
