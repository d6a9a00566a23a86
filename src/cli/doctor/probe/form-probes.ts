import { type Asker, isAnswered, isRefused, type Outcome } from './asker.ts'
import { CHEAP_MODELS, GREETING, type Probe, UNCLEAR } from './probe.ts'
import type { Question } from './question.ts'

/** Request form and client name (kiro-protocol §1.5, §2). */

function greeting(asker: Asker, form: Question['form']): Question {
  return { form, modelId: asker.modelOf(CHEAP_MODELS) ?? 'auto', content: GREETING }
}

function isFormRefused(outcome: Outcome): boolean {
  return outcome.status === 400 || outcome.status === 404
}

export const requestForms: Probe = {
  id: 'P1',
  question: 'Which request forms does the upstream accept?',
  answers: {
    both: { means: 'Both forms are accepted.', change: null },
    target: {
      means: 'Only the target form is accepted.',
      change: 'Set KIRO_REQUEST_FORM=target to save each new process a second attempt.'
    },
    path: {
      means: 'Only the path form is accepted.',
      change: 'Set KIRO_REQUEST_FORM=path to save each new process a second attempt.'
    },
    neither: {
      means: 'Neither form is accepted, so the form is not the cause.',
      change: 'Check KIRO_API_REGION and PROFILE_ARN: they must belong to the signed-in account.'
    },
    unclear: UNCLEAR
  },
  skip: () => null,
  async ask(asker) {
    const path = await asker.generate('path form', greeting(asker, 'path'))
    const target = await asker.generate('target form', greeting(asker, 'target'))
    if (isAnswered(path)) asker.form = 'path'
    else if (isAnswered(target)) asker.form = 'target'
    if (isAnswered(path) && isAnswered(target)) return 'both'
    if (isAnswered(target)) return isFormRefused(path) ? 'target' : 'unclear'
    if (!isAnswered(path)) return isRefused(path) && isRefused(target) ? 'neither' : 'unclear'
    return isFormRefused(target) ? 'path' : 'unclear'
  }
}

export const ownName: Probe = {
  id: 'P2',
  question: 'Does the subscription admit the gateway under its own name?',
  answers: {
    admitted: { means: "The gateway's own name is admitted.", change: null },
    'not-admitted': {
      means:
        'The subscription or seat does not admit this program. The gateway identifies itself and does not pose as another program.',
      change:
        'Set KIRO_API_KEY to a key of this account and run the probes again, or ask your administrator to admit it.'
    },
    'not-admitted-with-key': {
      means: 'Not even an API key of this account is admitted.',
      change: 'Ask your administrator which programs the plan admits.'
    },
    unclear: UNCLEAR
  },
  skip: () => null,
  async ask({ outcomes, snapshot }) {
    const codes = outcomes.map(({ fault }) => fault?.code)
    if (codes.includes('GW_CLIENT_NOT_ADMITTED')) {
      return snapshot.authType === 'api-key' ? 'not-admitted-with-key' : 'not-admitted'
    }
    return outcomes.some(isAnswered) ? 'admitted' : 'unclear'
  }
}
