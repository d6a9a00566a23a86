import { type Asker, isAnswered, isRefused, type Outcome } from './asker.ts'
import { CHEAP_MODELS, GREETING, NO_FORM, type Probe, UNCLEAR } from './probe.ts'
import type { Question } from './question.ts'

/** How requests are written and who sends them: form, name, headers (kiro-protocol §1.5, §2). */

function greeting(asker: Asker, form: Question['form']): Question {
  return { form, modelId: asker.modelOf(CHEAP_MODELS) ?? 'auto', content: GREETING }
}

/** Whether it may be the form that is refused. */
function isFormRefused(outcome: Outcome): boolean {
  return outcome.status === 400 || outcome.status === 404
}

export const requestForms: Probe = {
  id: 'P1',
  question: 'Which forms of request does the upstream take?',
  answers: {
    both: { means: 'Both forms are taken.', change: null },
    target: {
      means: 'Only the target form is taken.',
      change: 'KIRO_REQUEST_FORM=target saves the second try of each new process.'
    },
    path: {
      means: 'Only the path form is taken.',
      change: 'KIRO_REQUEST_FORM=path; report it with the lines about members left out.'
    },
    neither: {
      means: 'Neither form is taken: this is not about the form.',
      change:
        'Check KIRO_API_REGION and PROFILE_ARN: they must belong to the account that is signed in.'
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
    if (!isFormRefused(target)) return 'unclear'
    for (const without of ['rootConversationId', 'agentMode'] as const) {
      const label = `target form without ${without}`
      const outcome = await asker.generate(label, { ...greeting(asker, 'target'), without })
      if (isAnswered(outcome)) break
    }
    return 'path'
  }
}

export const ownName: Probe = {
  id: 'P2',
  question: 'Does the subscription admit the gateway under its own name?',
  answers: {
    admitted: { means: 'The name that the gateway gives itself is admitted.', change: null },
    'not-admitted': {
      means:
        'The subscription or seat does not admit this program. The gateway says what it is and will not pretend otherwise.',
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

export const answersEnd: Probe = {
  id: 'P11',
  question: 'Do whole answers end with what closes them?',
  answers: {
    always: { means: 'Every answer was closed: one that is not was cut off.', change: null },
    'not-always': {
      means:
        'Whole answers may end without it: the gateway takes such an answer for one that was cut.',
      change: 'Report it with the list of requests: the rule has to be weakened.'
    }
  },
  skip: ({ outcomes }) => (outcomes.some(isStream) ? null : 'nothing was answered'),
  async ask({ outcomes }) {
    return outcomes.filter(isStream).every(({ isClosed }) => isClosed) ? 'always' : 'not-always'
  }
}

function isStream(outcome: Outcome): boolean {
  return isAnswered(outcome) && outcome.body === ''
}

export const tokenTypeOfOrganisation: Probe = {
  id: 'P13',
  question: 'Does an Identity Center account need to say so (TokenType: SSO_OIDC)?',
  answers: {
    same: { means: 'It makes no difference.', change: null },
    refused: {
      means: 'The upstream refuses the value, which the gateway does not send.',
      change: null
    },
    unclear: UNCLEAR
  },
  skip: ({ snapshot, form }) =>
    snapshot.authType !== 'idc' ? 'for Identity Center accounts' : form === null ? NO_FORM : null,
  async ask(asker) {
    const question = greeting(asker, asker.form ?? 'path')
    const headers = { tokentype: 'SSO_OIDC' }
    const outcome = await asker.generate('TokenType: SSO_OIDC', { ...question, headers })
    return isAnswered(outcome) ? 'same' : isRefused(outcome) ? 'refused' : 'unclear'
  }
}

export const attribution: Probe = {
  id: 'P15',
  question: 'Is the header that names the product needed (x-amzn-kiro-client-attribution)?',
  answers: {
    'not-needed': { means: 'Requests are answered without it.', change: null },
    needed: {
      means: 'Requests are refused without it: the gateway has to go on sending it.',
      change: null
    },
    unclear: UNCLEAR
  },
  skip: ({ outcomes }) =>
    outcomes.some((one) => one.label === 'target form' && isAnswered(one))
      ? null
      : 'the target form is not taken',
  async ask(asker) {
    const headers = { 'x-amzn-kiro-client-attribution': undefined }
    const question = { ...greeting(asker, 'target'), headers }
    const outcome = await asker.generate('without attribution', question)
    return isAnswered(outcome) ? 'not-needed' : isRefused(outcome) ? 'needed' : 'unclear'
  }
}
