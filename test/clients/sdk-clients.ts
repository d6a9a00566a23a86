import { cpSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Api, Client, Command, Place, Way } from './client.ts'
import { hiddenString, secretWord } from './hidden-words.ts'
import type { Session, Trial } from './trial.ts'
import { sendsPdf, THINKING, THINKING_GPT } from './upstream-trials.ts'
import { failureOf, missing, toolLoopBy } from './usual-trials.ts'

const PROGRAMS = fileURLToPath(new URL('./sdk', import.meta.url))

/** Modes that the programs in `sdk/` have besides `ask` and `resume`. */
const MODES: readonly string[] = ['whole', 'schema', 'think', 'pdf']

const AI_SDK = {
  ai: '7.0.173',
  '@ai-sdk/openai': '4.0.118',
  '@ai-sdk/anthropic': '4.0.105',
  '@ai-sdk/openai-compatible': '3.0.92'
} as const
const LANGCHAIN = {
  langchain: '1.5.14',
  '@langchain/openai': '1.6.0',
  '@langchain/anthropic': '1.5.11'
} as const

/** The SDKs, each with a program of ours that has two functions to offer (`sdk/session.mjs`). */
export const SDK_CLIENTS: readonly Client[] = [
  {
    name: 'openai',
    id: 'openai',
    packages: { openai: '7.57.0' },
    ways: [
      sdkWay({ api: 'Chat Completions', program: 'openai-chat.mjs' }),
      sdkWay({ api: 'Responses', program: 'openai-responses.mjs' })
    ]
  },
  {
    name: '@anthropic-ai/sdk',
    id: 'anthropic-sdk',
    packages: { '@anthropic-ai/sdk': '1.13.0' },
    ways: [
      sdkWay({ api: 'Messages', program: 'anthropic-messages.mjs', modes: [...MODES, 'runner'] })
    ]
  },
  {
    name: 'AI SDK',
    id: 'ai-sdk',
    packages: AI_SDK,
    ways: [
      aiSdkWay('Responses', 'responses', `@ai-sdk/openai ${AI_SDK['@ai-sdk/openai']}`),
      aiSdkWay('Chat Completions', 'chat', `@ai-sdk/openai ${AI_SDK['@ai-sdk/openai']}, .chat()`),
      aiSdkWay(
        'Chat Completions',
        'compatible',
        `@ai-sdk/openai-compatible ${AI_SDK['@ai-sdk/openai-compatible']}`
      ),
      aiSdkWay('Messages', 'messages', `@ai-sdk/anthropic ${AI_SDK['@ai-sdk/anthropic']}`)
    ]
  },
  {
    name: 'LangChain',
    id: 'langchain',
    packages: LANGCHAIN,
    ways: [
      langChainWay('Chat Completions', 'chat', '@langchain/openai'),
      langChainWay('Responses', 'responses', '@langchain/openai'),
      langChainWay('Messages', 'messages', '@langchain/anthropic')
    ]
  },
  {
    name: '@openai/agents',
    id: 'openai-agents',
    packages: { '@openai/agents': '0.20.0' },
    ways: [
      agentsWay('Responses', 'responses'),
      agentsSocketWay(),
      agentsWay('Chat Completions', 'chat')
    ]
  }
]

function aiSdkWay(api: Api, provider: string, note: string): Way {
  return sdkWay({ api, program: 'ai-sdk.mjs', note, env: { AI_PROVIDER: provider } })
}

function langChainWay(api: Api, name: string, part: keyof typeof LANGCHAIN): Way {
  const note = `${part} ${LANGCHAIN[part]}`
  return sdkWay({ api, program: 'langchain.mjs', note, env: { LANGCHAIN_API: name } })
}

function agentsWay(api: Api, name: string): Way {
  const env = { AGENTS_API: name, OPENAI_AGENTS_DISABLE_TRACING: '1' }
  const modes = api === 'Responses' ? [...MODES, 'compact'] : MODES
  return sdkWay({ api, program: 'openai-agents.mjs', env, modes, givesUp: true })
}

/** Its conversation is with the gateway: there is nothing that a new process could go on from. */
function agentsSocketWay(): Way {
  const env = { AGENTS_API: 'websocket', OPENAI_AGENTS_DISABLE_TRACING: '1' }
  const { resume: _, ...way } = sdkWay({
    api: 'Responses',
    program: 'openai-agents.mjs',
    note: 'WebSocket',
    env,
    modes: ['whole'],
    givesUp: true
  })
  return way
}

interface SdkProgram {
  readonly api: Api
  readonly program: string
  readonly note?: string
  readonly env?: Readonly<Record<string, string>>
  readonly modes?: readonly string[]
  /** It has the mode `give-up`, too. */
  readonly givesUp?: boolean
}

function sdkWay(options: SdkProgram): Way {
  const { api, program, note, env = {}, modes = MODES, givesUp = false } = options
  const start = (mode: string, prompt: string, place: Place): Command => ({
    argv: [process.execPath, installProgram(program, place), mode, prompt],
    env: {
      GATEWAY_URL: place.url,
      GATEWAY_KEY: place.key,
      GATEWAY_MODEL: place.model,
      ...env
    }
  })
  return {
    api,
    ...(note !== undefined && { note }),
    ask: (prompt, place) => start('ask', prompt, place),
    resume: (prompt, place) => start('resume', prompt, place),
    think: (prompt, place) => start('think', prompt, place),
    ...(givesUp && {
      giveUp: (prompts, place) => start('give-up', JSON.stringify(prompts), place)
    }),
    tools: {
      write: (path, text) => `write_file with ${JSON.stringify({ path, text })}`,
      read: (path) => `read_file with ${JSON.stringify({ path })}`
    },
    more: modes.map((mode) => modeTrial(mode, start))
  }
}

/** The program stands beside the packages, where its imports are found. */
function installProgram(program: string, { installed }: Place): string {
  const folder = join(installed, basename(PROGRAMS))
  cpSync(PROGRAMS, folder, { recursive: true })
  return join(folder, program)
}

type Start = (mode: string, prompt: string, place: Place) => Command

function modeTrial(mode: string, start: Start): Trial {
  if (mode === 'schema') {
    return { name: 'JSON schema', attempt: (session) => askForPlace(session, start) }
  }
  if (mode === 'think') return THINKING
  if (mode === 'compact')
    return { name: 'compaction', attempt: (session) => compactSession(session, start) }
  if (mode === 'pdf') return sendsPdf((prompt, place) => start('pdf', prompt, place))
  const name = mode === 'whole' ? 'not streamed' : 'tool runner'
  return toolLoopBy(name, (prompt, place) => start(mode, prompt, place))
}

async function askForPlace(session: Session, start: Start): Promise<string | null> {
  const { place } = session
  const text = JSON.stringify({ city: 'Tromsø', country: 'Norway' })
  const outcome = await session.run(start('schema', `Which? sim:say=${hiddenString(text)}`, place))
  return failureOf(outcome) ?? missing(outcome, text)
}

/** The SDK takes names of OpenAI's models alone for this. */
async function compactSession(session: Session, start: Start): Promise<string | null> {
  const place = { ...session.place, model: THINKING_GPT }
  const word = secretWord()
  const command = start('compact', `Go on. sim:say=${hiddenString(word)}`, place)
  const outcome = await session.run(command, place)
  const failure = failureOf(outcome)
  if (failure !== null) return failure
  return (
    missing(outcome, `input: compaction; ${word}`) ??
    missing(outcome, `previous_response_id: compaction; ${word}`)
  )
}
