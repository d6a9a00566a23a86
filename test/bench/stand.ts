import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Load, LoadResult } from './load-generator.ts'
import { Subprocess } from '../helper/subprocess.ts'
import {
  type PipeKind,
  startGateway,
  startPipe,
  type Target,
  type TargetOptions
} from './target.ts'
import type { AnswerScript, UpstreamFacts, UpstreamQuestion } from './upstream.ts'

type OwnOptions = Omit<TargetOptions, 'upstreamUrl' | 'folder'>

/** A version of the gateway, and the Node that it runs with. */
export type Version = Pick<OwnOptions, 'program' | 'node'>

/** Something to send load at, and how its answers look when they are whole. */
export interface LoadTarget {
  readonly url: string
  readonly answer: Load['answer']
}

/** A gateway and a passthrough in front of the same upstream. */
export interface Pair {
  readonly gateway: Target
  readonly passthrough: Target
}

/** Upstream and load generator, and the place where targets are started in front of them. */
export class Stand {
  /** A smaller number of everything. */
  readonly isQuick: boolean
  readonly #folder = mkdtempSync(join(tmpdir(), 'kiro-gateway-bench-'))
  readonly #upstream = new Subprocess<UpstreamQuestion, UpstreamFacts>(
    new URL('./upstream.ts', import.meta.url)
  )
  readonly #generator = new Subprocess<Load, LoadResult>(
    new URL('./load-generator.ts', import.meta.url)
  )
  readonly #targets = new Set<Target>()
  #closing: Promise<void> | null = null
  #folders = 0
  #upstreamUrl = ''
  #version: Version = {}

  constructor(options: { readonly isQuick: boolean }) {
    this.isQuick = options.isQuick
  }

  /** The upstream listens on any free port, or on this one. */
  async start(upstreamPort = 0): Promise<void> {
    const { port } = await this.#upstream.ask({ type: 'listen', port: upstreamPort })
    this.#upstreamUrl = `http://127.0.0.1:${port}`
  }

  /** Frees everything, the folder with all output included. Further calls give the same promise. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  /** A folder that does not exist yet. */
  nextFolder(): string {
    this.#folders += 1
    return join(this.#folder, String(this.#folders))
  }

  async gateway(options: OwnOptions = {}): Promise<Target> {
    return this.#add(await startGateway(this.#withPlace({ ...this.#version, ...options })))
  }

  /** The Node of these. */
  get node(): string {
    return this.#version.node ?? process.execPath
  }

  /** Gateways that are started are of this version from now on. */
  use(version: Version): void {
    this.#version = version
  }

  /** The passthrough, unless another kind is asked for. */
  async pipe(kind: PipeKind = 'bytes', options: OwnOptions = {}): Promise<Target> {
    return this.#add(await startPipe(kind, this.#withPlace(options)))
  }

  /** Runs `work` with fresh targets and ends them. */
  async withPair<Result>(
    options: OwnOptions,
    work: (pair: Pair) => Promise<Result>
  ): Promise<Result> {
    const pair = {
      gateway: await this.gateway(options),
      passthrough: await this.pipe('bytes', options)
    }
    const result = await work(pair)
    await Promise.all([this.end(pair.gateway), this.end(pair.passthrough)])
    return result
  }

  async end(target: Target): Promise<void> {
    this.#targets.delete(target)
    await target.close()
  }

  /** Says what the upstream answers from now on; gives the bytes of one answer. */
  async play(script: AnswerScript): Promise<number> {
    return (await this.#upstream.ask({ type: 'play', script })).answerBytes
  }

  /** Answers, all events at once, until code is compiled and connections are open. */
  async warmUp(
    pair: Pair,
    load: Pick<Load, 'conversation' | 'streams' | 'requests'>
  ): Promise<void> {
    const to = loadTargets(pair, await this.play({ events: 100, gapMs: 0, firstMs: 0 }))
    await this.load({ ...load, ...to.gateway })
    await this.load({ ...load, ...to.passthrough })
  }

  /** Connections and requests that the upstream has counted. */
  count(): Promise<UpstreamFacts> {
    return this.#upstream.ask({ type: 'count' })
  }

  /** Resolves when every answer has come, whole. */
  load(load: Load): Promise<LoadResult> {
    return this.#generator.ask(load)
  }

  /** The upstream itself, without anything in between. */
  get direct(): { readonly url: string } {
    return { url: this.#upstreamUrl }
  }

  async #close(): Promise<void> {
    await Promise.all([...this.#targets].map((target) => target.close()))
    await Promise.all([this.#upstream.close(), this.#generator.close()])
    rmSync(this.#folder, { recursive: true, force: true })
  }

  #withPlace(options: OwnOptions): TargetOptions {
    return { ...options, upstreamUrl: this.#upstreamUrl, folder: this.nextFolder() }
  }

  #add(target: Target): Target {
    this.#targets.add(target)
    return target
  }
}

/** The end of a whole answer of the gateway. */
export const gatewayAnswer = { tail: 'data: [DONE]\n\n' } as const

/** Where to send load for each of a pair. */
export function loadTargets({ gateway, passthrough }: Pair, answerBytes: number) {
  return {
    gateway: { url: gateway.url, answer: gatewayAnswer },
    passthrough: { url: passthrough.url, answer: { bytes: answerBytes } }
  } as const satisfies Record<string, LoadTarget>
}

/** Says on stderr what is going on. */
export function progress(text: string): void {
  process.stderr.write(`${(performance.now() / 1000).toFixed(1).padStart(6)} s  ${text}\n`)
}
