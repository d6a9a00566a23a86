import { PROFILE_ARN } from '../../simulator/control-plane.ts'
import { Simulator } from '../../simulator/simulator.ts'
import { parseJsonObject, textMember } from '../../shared/json.ts'
import type { RecordedCall, RecordedTurn } from './capture-reader.ts'

/** What the simulator says of one request to the upstream. */
export interface SimulatedVerdict {
  /** From 1. */
  readonly call: number
  readonly kind: RecordedCall['kind']
  readonly status: number
  readonly isTaken: boolean
  /** Its message, where it refuses. */
  readonly message: string | null
  /** Which of the upstream's rules it is about, and what breaks it. */
  readonly rule: string | null
}

const MAX_MESSAGE_CHARS = 500

/** Sends each request that the upstream was sent to the simulator, which is strict and explains itself. */
export async function simulate(
  { calls }: RecordedTurn,
  signal: AbortSignal
): Promise<readonly SimulatedVerdict[]> {
  const simulator = new Simulator({ gapMs: 0 })
  const { url } = await simulator.start()
  try {
    const verdicts: SimulatedVerdict[] = []
    for (const [index, call] of calls.entries()) {
      verdicts.push({ call: index + 1, kind: call.kind, ...(await judge(url, call, signal)) })
    }
    return verdicts
  } finally {
    await simulator.close()
  }
}

async function judge(url: string, call: RecordedCall, signal: AbortSignal) {
  const isTarget = call.form === 'target'
  const path = isTarget ? '/' : call.kind === 'mcp' ? '/mcp' : '/generateAssistantResponse'
  const target = call.kind === 'mcp' ? 'InvokeMCP' : 'GenerateAssistantResponse'
  const isGeneration = call.kind === 'generate'
  const headers: Record<string, string> = {
    authorization: 'Bearer simulated',
    'content-type': isTarget ? 'application/x-amz-json-1.0' : 'application/json',
    ...(isTarget && { 'x-amz-target': `KiroRuntimeService.${target}` }),
    ...(!isTarget && { 'x-amzn-kiro-profile-arn': PROFILE_ARN })
  }
  // The profile was left out of what was written down: it stands in front of the request.
  const profile = `{"profileArn":${JSON.stringify(PROFILE_ARN)},`
  const body = isGeneration
    ? Buffer.concat([Buffer.from(profile), call.body.subarray(1)])
    : call.body
  const answered = await fetch(url + path, { method: 'POST', headers, body, signal })
  const isTaken = answered.status === 200
  if (isTaken) await answered.body?.cancel()
  const said = isTaken ? {} : (parseJsonObject(await answered.text()) ?? {})
  return {
    status: answered.status,
    isTaken,
    message: textMember(said, 'message')?.slice(0, MAX_MESSAGE_CHARS) ?? null,
    rule: answered.headers.get('x-simulator-rule')
  }
}
