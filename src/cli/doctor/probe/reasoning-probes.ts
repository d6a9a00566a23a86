import { type Asker, isAnswered, isRefused, type Outcome } from './asker.ts'
import { NO_FORM, type Probe, UNCLEAR } from './probe.ts'
import { type Question, userMessage } from './question.ts'

/** What the upstream makes of a model's own reasoning (kiro-protocol §9.2, §9.10). */

const RIDDLE = 'What is 17 times 23? Think first, then answer with the number alone.'
/** Models that can be told to think, cheapest first. */
const THINKING_MODELS = [
  'claude-sonnet-5',
  'claude-sonnet-4.6',
  'claude-sonnet-5.5',
  'claude-opus-5'
]
const ALWAYS_THINKING_MODELS = ['claude-sonnet-5.5', 'claude-opus-5.5']
const THINKING = {
  thinking: { type: 'adaptive', display: 'summarized' },
  output_config: { effort: 'low' }
}

function skipWithout(models: readonly string[]): Probe['skip'] {
  return (asker) => {
    if (asker.form === null) return NO_FORM
    return asker.modelOf(models) === null ? `the account has none of ${models.join(', ')}` : null
  }
}

export const signatures: Probe = {
  id: 'P3',
  question: 'Is reasoning that goes back to the model taken, and are its signatures verified?',
  answers: {
    verified: {
      means: 'Reasoning goes back, and a signature that was changed is refused.',
      change: null
    },
    'not-verified': {
      means: 'Reasoning goes back, and nobody looks at its signature.',
      change: null
    },
    refused: {
      means:
        'Reasoning that goes back is refused. The gateway sends each such request once more without it.',
      change: 'Report it: for this model it should be left out from the start.'
    },
    unsigned: {
      means: 'The model sent no signed reasoning, so there is nothing to send back.',
      change: null
    },
    unclear: UNCLEAR
  },
  skip: skipWithout(THINKING_MODELS),
  async ask(asker) {
    const first = await asker.generate('reasoning asked for', question(asker, THINKING_MODELS))
    if (!isAnswered(first)) return 'unclear'
    if (first.signature === '') return 'unsigned'
    const whole = await asker.generate(
      'reasoning sent back',
      followUp(asker, first, first.signature)
    )
    if (!isAnswered(whole)) return isRefused(whole) ? 'refused' : 'unclear'
    const changed = followUp(asker, first, withOneCharChanged(first.signature))
    const outcome = await asker.generate('signature changed', changed)
    return isAnswered(outcome) ? 'not-verified' : isRefused(outcome) ? 'verified' : 'unclear'
  }
}

function question(asker: Asker, models: readonly string[]): Question {
  const modelId = asker.modelOf(models) ?? ''
  return { form: asker.form ?? 'path', modelId, content: RIDDLE, fields: THINKING }
}

function followUp(asker: Asker, first: Outcome, signature: string): Question {
  const asked = question(asker, THINKING_MODELS)
  const reasoningContent = { reasoningText: { text: first.reasoning, signature } }
  return {
    ...asked,
    content: 'Thank you. Reply with the word OK alone.',
    history: [
      { userInputMessage: userMessage(asked, asked.content) },
      { assistantResponseMessage: { content: first.text || 'OK', reasoningContent } }
    ]
  }
}

function withOneCharChanged(signature: string): string {
  const at = Math.floor(signature.length / 2)
  const other = signature[at] === 'A' ? 'B' : 'A'
  return `${signature.slice(0, at)}${other}${signature.slice(at + 1)}`
}

export const thinkingOff: Probe = {
  id: 'P8a',
  question: 'Can a model that always thinks be told not to?',
  answers: {
    refused: {
      means: 'No, as expected: the gateway asks it to think little instead.',
      change: null
    },
    taken: {
      means: 'Yes: the model takes what its schema does not list.',
      change: 'Report it: thinking can be switched off for it.'
    },
    unclear: UNCLEAR
  },
  skip: skipWithout(ALWAYS_THINKING_MODELS),
  async ask(asker) {
    const fields = { thinking: { type: 'disabled' } }
    const asked = { ...question(asker, ALWAYS_THINKING_MODELS), fields }
    const outcome = await asker.generate('thinking: disabled', asked)
    return isAnswered(outcome) ? 'taken' : isRefused(outcome) ? 'refused' : 'unclear'
  }
}

export const effortAlone: Probe = {
  id: 'P8b',
  question: 'Does an effort without "thinking" bring reasoning?',
  answers: {
    reasons: { means: 'Yes: the effort alone is enough.', change: null },
    silent: {
      means: 'No, as expected: the gateway sends "thinking" with every effort.',
      change: null
    },
    refused: {
      means: 'An effort alone is refused, which the gateway never sends.',
      change: null
    },
    unclear: UNCLEAR
  },
  skip: skipWithout(['claude-sonnet-5']),
  async ask(asker) {
    const fields = { output_config: { effort: 'low' } }
    const asked = { ...question(asker, ['claude-sonnet-5']), fields }
    const outcome = await asker.generate('effort without thinking', asked)
    if (!isAnswered(outcome)) return isRefused(outcome) ? 'refused' : 'unclear'
    return outcome.reasoning === '' && outcome.signature === '' ? 'silent' : 'reasons'
  }
}
