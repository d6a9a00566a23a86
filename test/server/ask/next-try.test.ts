import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import type { UpstreamFault } from '../../../src/kiro/wire/fault.ts'
import * as core from '../../../src/server/ask/next-try.ts'
import type { FailedTry, NextTry, TryMeans, TryState } from '../../../src/server/ask/next-try.ts'
import { type ErrorCode, GatewayError } from '../../../src/shared/errors.ts'
import { PLAIN_APPROACH } from '../../../src/upstream/call/retry.ts'

const FIRST = new GatewayError('GW_UPSTREAM_REFUSED', 'first')
const TOLD = new GatewayError('GW_UPSTREAM_STATUS', 'told')
const LESSON = { conversationId: 'earlier', hashes: ['a'] }

/** Everything that may have been tried before. */
const STATES = {
  fresh: core.FIRST_TRY,
  retried: { ...core.FIRST_TRY, attempt: 2 },
  last: { ...core.FIRST_TRY, attempt: 3 },
  suspicious: { ...core.FIRST_TRY, changes: 1, refusal: FIRST, lessons: [LESSON] },
  shortest: { ...core.FIRST_TRY, isShortest: true },
  changed: { ...core.FIRST_TRY, changes: 3, refusal: FIRST, lessons: [LESSON] }
} satisfies Record<string, TryState>

type StateName = keyof typeof STATES

interface Failure {
  readonly code: ErrorCode
  readonly fault?: Partial<UpstreamFault>
  readonly isFinal?: boolean
  readonly means?: Partial<TryMeans>
}

const refused = (fault: Partial<UpstreamFault>): Failure => ({
  code: 'GW_UPSTREAM_REFUSED',
  fault: { status: 400, code: 'GW_UPSTREAM_REFUSED', remedy: 'none', ...fault }
})
const documents = { conversationId: 'c', hashes: ['document'] }
const replay = { conversationId: 'c', hashes: ['reasoning'] }
const fields = { paths: ['thinking', 'thinking.type', 'max_tokens', 'output_config'] }
const withPlan = (plan: Partial<TryMeans['plan']>) => ({ plan: { upstreamModel: 'm', ...plan } })
const payloadOf = (bytes: number, changes: readonly string[] = [], dropped: string[] = []) => ({
  payload: {
    byteLength: bytes,
    has: (change: string) => changes.includes(change),
    droppedFields: new Set(dropped)
  }
})
const tooLong = { code: 'GW_CONTEXT_OVERFLOW', fault: { status: 400, remedy: 'none' } } as const
const throttled: Failure = {
  code: 'GW_UPSTREAM_RATE_LIMITED',
  fault: { code: 'GW_UPSTREAM_RATE_LIMITED', status: 429, remedy: 'back-off' }
}
const moved = { ...PLAIN_APPROACH, hostIndex: 1 }
const renewed = { ...PLAIN_APPROACH, hasRenewedToken: true }
const MEBIBYTE = 1024 * 1024
const dropFields = { remedy: 'drop-fields', message: 'property "thinking" is refused' } as const

/**
 * What follows each failure in each state. `new`: under another invocation id; `#`: the attempt that the upstream is told of
 * the next call, and in brackets which one it is here.
 */
const TABLE: readonly (readonly [
  name: string,
  failure: Failure,
  expected: string | Readonly<Record<StateName, string>>
])[] = [
  ['after a byte', { ...throttled, isFinal: true }, 'give up: itself'],
  [
    'after a byte, with another host',
    { code: 'GW_UPSTREAM_CONNECT', isFinal: true, means: { another: moved } },
    'give up: itself'
  ],
  [
    'another host',
    { code: 'GW_UPSTREAM_CONNECT', means: { another: moved } },
    {
      fresh: 'way new #1 changes 1',
      retried: 'way new #1 (2) changes 1',
      last: 'way new #1 (3) changes 1',
      suspicious: 'way new #1 changes 2',
      shortest: 'way new #1 changes 1',
      changed: 'again 1000 #2'
    }
  ],
  [
    'another token',
    { code: 'GW_UPSTREAM_AUTH', fault: { remedy: 'refresh-token' }, means: { another: renewed } },
    {
      fresh: 'way #1 changes 1',
      retried: 'way #2 changes 1',
      last: 'way #3 changes 1',
      suspicious: 'way #1 changes 2',
      shortest: 'way #1 changes 1',
      changed: 'give up: told'
    }
  ],
  [
    'the token was renewed before',
    {
      code: 'GW_UPSTREAM_STATUS',
      fault: { remedy: 'next-host' },
      means: { approach: renewed, another: { ...renewed, hostIndex: 1 } }
    },
    {
      fresh: 'way new #1 changes 1',
      retried: 'way new #1 (2) changes 1',
      last: 'way new #1 (3) changes 1',
      suspicious: 'way new #1 changes 2',
      shortest: 'way new #1 changes 1',
      changed: 'give up: told'
    }
  ],
  [
    'another way comes before another payload',
    { ...refused({}), means: { another: moved, ...withPlan({ documents }) } },
    {
      fresh: 'way new #1 changes 1',
      retried: 'way new #1 (2) changes 1',
      last: 'way new #1 (3) changes 1',
      suspicious: 'way new #1 changes 2',
      shortest: 'way new #1 changes 1',
      changed: 'give up: first'
    }
  ],
  ['a busy upstream', throttled, again('again 1000 #2', 'again 2000 #3')],
  ['a busy upstream, while draining', { ...throttled, means: { retry: null } }, 'give up: told'],
  [
    'a busy upstream, without a budget',
    { ...throttled, means: { retry: { ...limits(), hasBudget: false } } },
    'give up: told'
  ],
  [
    'an empty answer',
    { code: 'GW_UPSTREAM_OVERLOADED', means: { retry: { ...limits(), maxAttempts: 9 } } },
    again('again 1000 new #1 (2)', 'again 2000 new #1 (3)')
  ],
  [
    'an overloaded upstream',
    {
      code: 'GW_UPSTREAM_OVERLOADED',
      fault: { code: 'GW_UPSTREAM_OVERLOADED', remedy: 'back-off' },
      means: { retry: { ...limits(), maxAttempts: 9 } }
    },
    { ...again('again 1000 #2', 'again 2000 #3'), last: 'again 4000 #4' }
  ],
  [
    'a model that the list has',
    {
      code: 'GW_MODEL_UNKNOWN',
      fault: { code: 'GW_MODEL_UNKNOWN', remedy: 'retry-model' },
      means: { isModelListed: true }
    },
    again('again 500 #2', 'again 1000 #3')
  ],
  [
    'a model that nobody knows',
    { code: 'GW_MODEL_UNKNOWN', fault: { code: 'GW_MODEL_UNKNOWN', remedy: 'retry-model' } },
    'give up: told'
  ],
  ['a refusal of nothing in particular', refused({}), givenUp()],
  [
    'a refusal beside documents',
    { ...refused({}), means: withPlan({ documents }) },
    payload('document-refused new #1', 'document')
  ],
  [
    'a refusal of another form beside documents',
    { ...refused({ remedy: 'other-form' }), means: withPlan({ documents }) },
    payload('document-refused new #1', 'document')
  ],
  [
    'a refusal beside documents that were left out',
    {
      ...refused({}),
      means: { ...withPlan({ documents }), ...payloadOf(10, ['document-refused']) }
    },
    givenUp()
  ],
  [
    'an organisation’s key beside documents',
    { ...refused({ reason: 'CUSTOMER_KMS_KEY_DISABLED' }), means: withPlan({ documents }) },
    givenUp()
  ],
  [
    'a refusal of reasoning',
    { ...refused({ remedy: 'strip-reasoning' }), means: withPlan({ replay, documents }) },
    payload('reasoning-refused new #1')
  ],
  [
    'a refusal of reasoning that was left out',
    {
      ...refused({ remedy: 'strip-reasoning' }),
      means: { ...withPlan({ replay }), ...payloadOf(10, ['reasoning-refused']) }
    },
    givenUp()
  ],
  [
    'a refusal of a field',
    { ...refused(dropFields), means: withPlan({ fields, documents }) },
    payload('fields-refused thinking new #1', 'fields')
  ],
  [
    'a refusal of fields',
    { ...refused({ ...dropFields, message: 'no' }), means: withPlan({ fields }) },
    payload('fields-refused thinking,thinking.type,max_tokens,output_config new #1', 'fields')
  ],
  [
    'a refusal of a second field',
    {
      ...refused({ ...dropFields, message: 'property "max_tokens" is refused' }),
      means: { ...withPlan({ fields }), ...payloadOf(10, ['fields-refused'], ['thinking']) }
    },
    payload('fields-refused max_tokens,output_config new #1', 'fields')
  ],
  [
    'a refusal of fields that were left out',
    {
      ...refused(dropFields),
      means: {
        ...withPlan({ fields }),
        ...payloadOf(10, ['fields-refused'], ['thinking', 'max_tokens', 'output_config'])
      }
    },
    givenUp()
  ],
  ['a conversation that is too long', tooLong, 'give up: told'],
  [
    'one that may be shortened',
    { ...tooLong, means: { mayTrim: true } },
    { ...payload('history-trimmed new #1'), shortest: 'give up: told', changed: 'give up: told' }
  ],
  [
    'one that was shortened',
    { ...tooLong, means: { mayTrim: true, ...payloadOf(10, ['history-trimmed']) } },
    'give up: told'
  ],
  [
    'one with documents',
    { ...tooLong, means: { mayTrim: true, ...withPlan({ documents }) } },
    { ...payload('document-refused new #1', 'document'), changed: 'give up: told' }
  ],
  [
    'one that is too long without its documents, too',
    {
      ...tooLong,
      means: { mayTrim: true, ...withPlan({ documents }), ...payloadOf(20 * MEBIBYTE) }
    },
    { ...payload('history-trimmed new #1'), shortest: 'give up: told', changed: 'give up: told' }
  ]
]

/** Tried again while attempts are left. */
function again(first: string, second: string): Readonly<Record<StateName, string>> {
  return {
    fresh: first,
    retried: second,
    last: 'give up: told',
    suspicious: first,
    shortest: first,
    changed: first
  }
}

/** A refusal, told as the first one where parts were left out on suspicion. */
function givenUp(): Readonly<Record<StateName, string>> {
  const told = 'give up: told'
  const first = 'give up: first'
  return {
    fresh: told,
    retried: told,
    last: told,
    suspicious: first,
    shortest: told,
    changed: first
  }
}

/** Changed in every state, but for one that has had its changes. */
function payload(words: string, lesson = ''): Readonly<Record<StateName, string>> {
  const changed = `${words} changes 1${lesson === '' ? '' : ' told, 1 lesson'}`
  const more = lesson === '' ? '' : ' first, 2 lessons'
  return {
    fresh: changed,
    retried: changed,
    last: changed,
    suspicious: `${words} changes 2${more}`,
    shortest: changed,
    changed: 'give up: first'
  }
}

function limits() {
  return { maxAttempts: 3, firstTokenMaxRetries: 2, hasBudget: true, random: 0 }
}

/** What follows, in words. */
function wordsOf(rules: typeof core, state: TryState, failure: Failure): string {
  const error = new GatewayError(failure.code)
  const { isFinal = false } = failure
  const fault = failure.fault === undefined ? null : faultOf(failure.code, failure.fault)
  const failed: FailedTry = { error, fault, isFinal }
  const means: TryMeans = {
    approach: PLAIN_APPROACH,
    another: null,
    told: TOLD,
    ...withPlan({}),
    ...payloadOf(10),
    account: 'account',
    mayTrim: false,
    isModelListed: false,
    retry: limits(),
    ...failure.means
  }
  const next = rules.nextTry(state, failed, means)
  return next.type === 'give-up' ? endOf(next, error) : callOf(next, state)
}

function endOf({ error }: Extract<NextTry, { type: 'give-up' }>, own: GatewayError): string {
  if (error === own) return 'give up: itself'
  return error === FIRST ? 'give up: first' : error === TOLD ? 'give up: told' : 'give up: another'
}

function callOf(next: Exclude<NextTry, { type: 'give-up' }>, before: TryState): string {
  const { state, isNewCall } = next
  const words: string[] = []
  if (next.type === 'change-way') words.push('way')
  else if (next.type === 'again') words.push(`again ${next.delayMs}`)
  else {
    const { change } = next
    words.push(change.name)
    if (change.name === 'fields-refused') words.push(change.refused.join(','))
  }
  if (isNewCall) words.push('new')
  const told = state.attempt - state.sentFrom + 1
  words.push(told === state.attempt ? `#${told}` : `#${told} (${state.attempt})`)
  if (state.changes !== before.changes) words.push(`changes ${state.changes}`)
  const learnt = state.lessons.length
  if (learnt !== before.lessons.length) {
    words.push(
      `${state.refusal === FIRST ? 'first' : 'told'}, ${learnt} lesson${learnt > 1 ? 's' : ''}`
    )
  }
  return words.join(' ')
}

function faultOf(code: ErrorCode, fault: Partial<UpstreamFault>): UpstreamFault {
  return {
    code,
    status: 400,
    type: '',
    message: 'no',
    reason: null,
    retryAfterS: null,
    remedy: 'none',
    bar: null,
    isTokenRefused: false,
    isTokenNamed: false,
    requestId: null,
    ...fault
  }
}

/** Cells of the table that do not hold. */
function broken(rules: typeof core): readonly string[] {
  return TABLE.flatMap(([name, failure, expected]) =>
    Object.entries(STATES).flatMap(([stateName, state]) => {
      const [, wanted] = Object.entries(
        typeof expected === 'string' ? { [stateName]: expected } : expected
      ).find(([one]) => one === stateName) ?? ['', '']
      const found = wordsOf(rules, state, failure)
      return found === wanted ? [] : [`${name}, ${stateName}: ${found}, not ${wanted}`]
    })
  )
}

t.test('what follows each failure in each state', async (t) => {
  t.same(broken(core), [])
})

t.test('what is remembered of what was left out', async (t) => {
  const next = core.nextTry(
    STATES.suspicious,
    { error: FIRST, fault: faultOf('GW_UPSTREAM_REFUSED', dropFields), isFinal: false },
    {
      approach: PLAIN_APPROACH,
      another: null,
      told: TOLD,
      ...withPlan({ fields }),
      ...payloadOf(10),
      account: 'account',
      mayTrim: false,
      isModelListed: false,
      retry: null
    }
  )
  t.match(next, { state: { lessons: [LESSON, { isBrief: true }] } })
})

interface Mutant {
  readonly story: string
  readonly from: string
  readonly to: string
}

const MUTANTS: readonly Mutant[] = [
  {
    story: 'a call is made again after a byte',
    from: "if (isFinal) return { type: 'give-up', error }",
    to: ''
  },
  {
    story: 'the first refusal is told after a byte',
    from: "if (isFinal) return { type: 'give-up', error }",
    to: "if (isFinal) return { type: 'give-up', error: means.told }"
  },
  { story: 'one change more', from: 'changes < MAX_CHANGES', to: 'changes <= MAX_CHANGES' },
  { story: 'one change fewer', from: 'const MAX_CHANGES = 3', to: 'const MAX_CHANGES = 1' },
  { story: 'changes do not count', from: 'state.changes + 1', to: 'state.changes' },
  {
    story: 'a renewed token makes another request of it',
    from: 'const isNewCall = approach.hasRenewedToken === before.hasRenewedToken',
    to: 'const isNewCall = true'
  },
  {
    story: 'a call with a token that was renewed before keeps its id',
    from: 'approach.hasRenewedToken === before.hasRenewedToken',
    to: '!approach.hasRenewedToken'
  },
  {
    story: 'a changed request counts the attempts of the one before',
    from: 'changes, attempt: 1 }, true',
    to: 'changes }, true'
  },
  {
    story: 'a changed request keeps its id',
    from: "change-payload', change, isNewCall: true, state: suspicious",
    to: "change-payload', change, isNewCall: false, state: suspicious"
  },
  {
    story: 'the last refusal is told instead of the first',
    from: 'state.refusal ?? told',
    to: 'told'
  },
  {
    story: 'an earlier lesson is forgotten',
    from: '[...state.lessons, change.lesson]',
    to: '[change.lesson]'
  },
  {
    story: 'every failure is told as the first refusal',
    from: "refusal !== null && error.code === 'GW_UPSTREAM_REFUSED'",
    to: 'refusal !== null'
  },
  { story: 'attempts are not counted', from: 'state.attempt + 1', to: 'state.attempt' },
  {
    story: 'an empty answer is asked for again under its id',
    from: 'const isNewCall = isEmptyAnswer(failed)',
    to: 'const isNewCall = false'
  },
  {
    story: 'an empty answer is paid for as often as others',
    from: 'const MAX_EMPTY_ANSWERS = 3',
    to: 'const MAX_EMPTY_ANSWERS = 30'
  },
  {
    story: 'an overloaded upstream counts as an empty answer',
    from: 'fault === null && error.code',
    to: 'error.code'
  },
  {
    story: 'reasoning is left out twice',
    from: "plan.replay && mayMake('reasoning-refused')",
    to: 'plan.replay'
  },
  {
    story: 'documents are left out twice',
    from: "isAboutDocuments && mayMake('document-refused')",
    to: 'isAboutDocuments'
  },
  {
    story: 'documents are blamed for an organisation’s key',
    from: " && fault.reason?.includes('KMS') !== true",
    to: ''
  },
  {
    story: 'documents are not blamed in the other form',
    from: "['none', 'other-form']",
    to: "['none']"
  },
  {
    story: 'documents are left out of what is too long anyway',
    from: 'isTooLong && mayFitWithoutDocuments(payload)',
    to: 'isTooLong'
  },
  {
    story: 'all fields go where one is named',
    from: 'named === null || isSecond ? left : [named]',
    to: 'left'
  },
  {
    story: 'fields go one by one',
    from: 'named === null || isSecond ? left : [named]',
    to: 'named === null ? left : [named]'
  },
  {
    story: 'fields that are gone are left out again',
    from: 'if (left.length === 0) return null',
    to: ''
  },
  {
    story: 'a conversation is shortened without leave',
    from: 'isTooLong && mayTrim && !state.isShortest',
    to: 'isTooLong && !state.isShortest'
  },
  {
    story: 'a conversation that cannot be shortened is shortened for ever',
    from: 'mayTrim && !state.isShortest',
    to: 'mayTrim'
  },
  {
    story: 'a conversation is shortened twice',
    from: " && mayMake('history-trimmed')",
    to: ''
  },
  {
    story: 'calls are made again while draining',
    from: 'means.retry === null ? null : retryDelay(state, failed, means, means.retry)',
    to: 'retryDelay(state, failed, means, means.retry ?? { maxAttempts: 3, firstTokenMaxRetries: 2, hasBudget: true, random: 0 })'
  },
  {
    story: 'a model that nobody knows is asked for again',
    from: '{ attempt, isModelListed }, {',
    to: '{ attempt, isModelListed: true }, {'
  }
]

const SOURCE = resolve(import.meta.dirname, '../../../src/server/ask/next-try.ts')

t.test('a fault in the rules is found', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'try-mutant-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  for (const [index, mutant] of MUTANTS.entries()) {
    const cells = broken(await mutate(join(folder, `${index}.ts`), mutant))
    t.ok(cells.length > 0, `${mutant.story}: ${cells[0]}`)
  }
})

/** The rules with one fault, beside the real ones of everything that they import. */
async function mutate(path: string, { from, to }: Mutant): Promise<typeof core> {
  const source = readFileSync(SOURCE, 'utf8')
  if (source.split(from).length !== 2) throw new Error(`next-try.ts has to hold this once: ${from}`)
  const mutated = source
    .replace(from, () => to)
    .replaceAll(
      /from '(\.[^']+)'/g,
      (_, name: string) => `from '${pathToFileURL(resolve(dirname(SOURCE), name)).href}'`
    )
  writeFileSync(path, mutated)
  return import(pathToFileURL(path).href)
}
