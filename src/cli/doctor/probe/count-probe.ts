import { UsageMeter } from '../../../dialects/answer/usage.ts'
import { TextCounter } from '../../../kiro/tokens/text-counter.ts'
import { contextWindowOf, DEFAULT_CONTEXT_WINDOW } from '../../../kiro/models/models.ts'
import { countRequest, familyOf } from '../../../kiro/tokens/request-tokens.ts'
import { type GaugeState, learnFrom, newGauge } from '../../../kiro/tokens/token-gauge.ts'
import { ErrorTable } from '../../../shared/error-table.ts'
import { type Asker, isAnswered, isRefused, type Outcome } from './asker.ts'
import { CHEAP_MODELS, GREETING, NO_FORM, type Probe, UNCLEAR } from './probe.ts'
import { type Question, writeQuestion } from './question.ts'

/** Requests of the probe, whose tokens are counted and measured. */
export const COUNTED_REQUESTS = 4

const NEAR = 0.05
const FAIR = 0.15

/** Measures how far counts of tokens are off: as of a new gateway, and after it has learnt from the requests before. */
export const tokenCounts: Probe = {
  id: 'P11',
  question: 'How far are counts of tokens off?',
  answers: {
    near: {
      means: 'After three answers, counts are within 5 %. The requests below show each error.',
      change: null
    },
    fair: {
      means:
        'After three answers, counts are within 15 %. They become better with more; the requests below show each error.',
      change: null
    },
    far: {
      means: 'After three answers, counts are off by more than 15 %.',
      change:
        'Compare the window of this model with MODEL_CONTEXT_WINDOWS, since Kiro tells a percentage of it, and report this answer.'
    },
    unmeasured: {
      means:
        "Kiro tells neither tokens nor a percentage of the window, so counts stay estimates. Beside real vocabularies these are within 15 %; Kiro's own prompt of about 2,000 tokens comes on top.",
      change: null
    },
    refused: { means: 'The upstream refuses these requests.', change: null },
    unclear: UNCLEAR
  },
  skip: ({ form }) => (form === null ? NO_FORM : null),
  async ask(asker) {
    const modelId = asker.modelOf(COUNTED_MODELS) ?? asker.models[0]?.id ?? 'auto'
    let gauge = newGauge(modelId)
    let error: number | null = null
    for (const [text, content] of texts()) {
      const question: Question = { form: asker.form ?? 'path', modelId, content }
      const outcome = await asker.generate(`count of ${text}`, question)
      if (!isAnswered(outcome)) return isRefused(outcome) ? 'refused' : 'unclear'
      const measured = compare(asker, gauge, { question, outcome })
      asker.note(`${text}: ${measured?.words ?? 'not measured'}`)
      error = measured?.error ?? error
      gauge = measured?.gauge ?? gauge
    }
    if (error === null) return 'unmeasured'
    if (error <= NEAR) return 'near'
    return error <= FAIR ? 'fair' : 'far'
  }
}

/** Claude first: most clients use it. */
const COUNTED_MODELS = ['claude-haiku-5.5', 'claude-haiku-4.5', ...CHEAP_MODELS]

/** Texts of the program itself, of some thousand tokens, and what they are called. */
function texts(): readonly (readonly [name: string, content: string])[] {
  const messages = Object.values(ErrorTable).map(({ message }) => message)
  const prose = messages.join('\n')
  const json = JSON.stringify(ErrorTable, null, 2)
  return [
    ['a greeting', GREETING],
    ['prose', withGreeting(prose)],
    ['JSON', withGreeting(json)],
    [
      'prose and JSON',
      withGreeting(`${prose.slice(prose.length / 2)}\n${json.slice(json.length / 2)}`)
    ]
  ]
}

function withGreeting(text: string): string {
  return `${text}\n\n${GREETING}`
}

interface Comparison {
  readonly gauge: GaugeState
  /** Share of what was measured. */
  readonly error: number
  readonly words: string
}

interface Asked {
  readonly question: Question
  readonly outcome: Outcome
}

/** Compares a count with what the upstream has measured, and learns from it. `null` without a measurement. */
function compare(
  { models, config }: Asker,
  gauge: GaugeState,
  { question, outcome }: Asked
): Comparison | null {
  const { modelId } = question
  const { windows } = config.models
  const meter = new UsageMeter({
    inputTokens: 0,
    contextWindow: contextWindowOf(modelId, { models, windows }) ?? DEFAULT_CONTEXT_WINDOW,
    newCounter: () => new TextCounter(familyOf(modelId))
  })
  meter.addText(outcome.text)
  meter.setPercentage(outcome.percentage ?? 0)
  meter.addCounts(outcome.counts)
  const measurement = meter.measurement()
  if (measurement === null) return null
  const payload = writeQuestion(question)
  const { tokens } = countRequest(payload, Buffer.from(JSON.stringify(payload)))
  const { tokens: measured, within, answer } = measurement
  const groups = tokens.map((own, at) => own + (answer[at] ?? 0))
  const counted = [...groups, HIDDEN_UNIT].reduce(
    (sum, own, at) => sum + own * (gauge.factors[at] ?? 0),
    0
  )
  const error = Math.abs(counted / measured - 1)
  const words = `${Math.round(counted)} tokens counted, ${measured} measured (exact to ${Math.ceil(within)}): ${(error * 100).toFixed(1)} % off`
  const learnt = learnFrom(gauge, { model: modelId, groups, measured, within })
  return { gauge: learnt ?? gauge, error, words }
}

/** The last factor of a gauge is the upstream's own prompt, in thousands. */
const HIDDEN_UNIT = 1000
