import type { Client } from './client.ts'
import type { InterruptionFigures } from './interrupted-session.ts'
import { type Disturbance, ROUNDS, type SessionFigures } from './long-session.ts'

const HEADING = '## Long sessions'

const EXPLANATION = `\`npm run sessions -- --write\` has these clients work through a session of ${ROUNDS} tool calls over WebSocket and over HTTP, with a
gateway and the strict simulator for each, and writes this section. In a column with two figures the first is over WebSocket, the second
over HTTP; *CPU* is time of all processes of the gateway for each of the last ten requests, *first* the time from the arrival of
request 20 or ${ROUNDS} to the first byte of its answer. In the last columns the session is over WebSocket, and the worker that serves
it is killed after ten calls; all workers are replaced (\`SIGUSR2\`); or two such sessions run at once on one key that may have one stream.
*Interrupted* is a shorter session over WebSocket and over HTTP, with such a key, too: between two loops of tools its user ends an answer at its first words,
in Codex and Copilot CLI by Ctrl-C in a real terminal (tmux), in the SDK by an \`AbortSignal\`, and goes on. The figure is the time from the key or the signal
until the gateway has ended the answer; in the end no permit is in use, and the strict upstream has refused nothing.
The SDK leaves it to its user to ask again over a connection that is cut; the program that is tried does. Times are those of a machine
that other programs used, too: compare the two of a pair, and only where they differ by much.`

export interface BothFigures {
  readonly socket: SessionFigures
  readonly http: SessionFigures
}

/** How a client's interrupted sessions ended, over WebSocket and over HTTP. */
export function interruptionCell(both: readonly InterruptionFigures[]): string {
  return both
    .map(({ problem, freeMs }) => (problem === null ? `ok, ${freeMs.toFixed(0)} ms` : '**failed**'))
    .join(' / ')
}

/** The row of a client. `disturbed` says how each disturbed session ended. */
export function figuresRow(
  { name, packages }: Pick<Client, 'name' | 'packages'>,
  { socket, http }: BothFigures,
  disturbed: readonly string[]
): string[] {
  const both = [socket, http] as const
  const pair = (figure: (figures: SessionFigures) => string): string => both.map(figure).join(' / ')
  return [
    name,
    Object.values(packages)[0] ?? '',
    pair(({ problem }) => (problem === null ? 'ok' : '**failed**')),
    pair((figures) => `${Math.round((roundOf(figures, ROUNDS)?.sent ?? 0) / 1000)} KB`),
    pair((figures) => `${lastCpuMs(figures).toFixed(1)} ms`),
    pair((figures) => firstMs(figures, ROUNDS / 2)),
    pair((figures) => firstMs(figures, ROUNDS)),
    ...disturbed
  ]
}

export function sessionsSection(
  disturbances: readonly Disturbance[],
  rows: readonly (readonly string[])[]
): string {
  const head = [
    'client',
    'version',
    'session',
    'sent by the client',
    'CPU',
    `first, ${ROUNDS / 2}`,
    `first, ${ROUNDS}`,
    ...disturbances,
    'interrupted'
  ]
  const lines = [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`)
  return `${HEADING}\n\n${EXPLANATION}\n\n${lines.join('\n')}\n`
}

const LAST_ROUNDS = 10

/** CPU time of each of the last requests, on average. */
function lastCpuMs(figures: SessionFigures): number {
  const [from, to] = [roundOf(figures, ROUNDS - LAST_ROUNDS), roundOf(figures, ROUNDS)]
  return from === undefined || to === undefined ? NaN : (to.cpuMs - from.cpuMs) / LAST_ROUNDS
}

function firstMs(figures: SessionFigures, round: number): string {
  return `${roundOf(figures, round)?.firstMs.toFixed(0) ?? '–'} ms`
}

function roundOf({ rounds }: SessionFigures, round: number) {
  return rounds[round - 1]
}
