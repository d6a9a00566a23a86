import { Tiktoken } from 'js-tiktoken/lite'
import cl100k from 'js-tiktoken/ranks/cl100k_base'
import o200k from 'js-tiktoken/ranks/o200k_base'
import type { ConversationTurn, RequestView } from '../../src/simulator/request-view.ts'
import { asJsonObject, textMember } from '../../src/shared/json.ts'

/**
 * Counts as an upstream might: with real vocabularies, which the gateway does not have, in the ratios that
 * kiro-protocol §6.2 knows, and with a prompt of its own. Images have other rules than the gateway's.
 */
export interface TrueTokens {
  request(view: RequestView, modelId: string): number
  text(modelId: string, text: string): number
}

interface Family {
  readonly vocabulary: Vocabulary
  readonly ratio: number
  readonly hidden: number
  readonly imageTokens: (width: number, height: number) => number
}

/** A piece that has no border inside takes time by its square. */
const MAX_PIECE_CHARS = 2_000
const MAX_KNOWN = 20_000
const TOKENS_PER_MESSAGE = 3
/** What a model is told once it has tools. */
const TOOL_PROMPT_TOKENS = 346

type Vocabulary = 'gpt' | 'other'

const RANKS = { gpt: o200k, other: cl100k } as const
/** Made when they are needed: each takes half a second. Bounded by the vocabularies. */
const encoders = new Map<Vocabulary, Tiktoken>()
/** Counts by vocabulary and text, which conversations repeat. Bounded by MAX_KNOWN. */
const known = new Map<string, number>()

function raw(vocabulary: Vocabulary, text: string): number {
  const name = `${vocabulary} ${text}`
  const found = known.get(name)
  if (found !== undefined) return found
  const encoder = encoders.get(vocabulary) ?? new Tiktoken(RANKS[vocabulary])
  encoders.set(vocabulary, encoder)
  let tokens = 0
  for (let at = 0; at < text.length; at += MAX_PIECE_CHARS)
    tokens += encoder.encode(text.slice(at, at + MAX_PIECE_CHARS), [], []).length
  if (known.size < MAX_KNOWN) known.set(name, tokens)
  return tokens
}

export function trueTokens(hiddenTokens = 2_050): TrueTokens {
  const familyOf = (modelId: string): Family => {
    const isClaude = modelId.startsWith('claude')
    if (isClaude) {
      const ratio = claudeRatio(modelId)
      return { vocabulary: 'other', ratio, hidden: hiddenTokens, imageTokens: byPatchesOf28 }
    }
    const isGpt = modelId.startsWith('gpt')
    return isGpt
      ? { vocabulary: 'gpt', ratio: 1, hidden: hiddenTokens * 0.9, imageTokens: byPatchesOf32 }
      : {
          vocabulary: 'gpt',
          ratio: 1.07,
          hidden: hiddenTokens * 1.1,
          imageTokens: byPatchesOf28
        }
  }
  return {
    text: (modelId, text) => {
      const { vocabulary, ratio } = familyOf(modelId)
      return Math.round(raw(vocabulary, text) * ratio)
    },
    request: (view, modelId) => {
      const { vocabulary, ratio, hidden, imageTokens } = familyOf(modelId)
      let [texts, images] = [0, 0]
      for (const turn of [...view.history, view.current]) {
        texts += TOKENS_PER_MESSAGE
        for (const text of textsOf(turn)) texts += raw(vocabulary, text)
        if (turn.role === 'user')
          for (const image of turn.images) images += imageTokens(...sizeOf(image))
      }
      const hasTools = view.current.tools.length > 0
      return Math.round(texts * ratio + images + hidden + (hasTools ? TOOL_PROMPT_TOKENS : 0))
    }
  }
}

/** Says by kiro-protocol §6.2: Claude 4 counts 15 % more than cl100k, Claude 5 another 30 %, and Haiku 5.5 differs again. */
function claudeRatio(modelId: string): number {
  const base = 1.15
  if (modelId === 'claude-haiku-5.5') return base * 1.42
  return /-(?:[5-9]|4\.[789])/.test(modelId) ? base * 1.3 : base
}

function textsOf(turn: ConversationTurn): readonly string[] {
  if (turn.role === 'assistant')
    return [turn.content, ...turn.toolUses.map((use) => JSON.stringify(use))]
  return [
    turn.content,
    ...turn.tools.map((tool) => JSON.stringify(asJsonObject(tool)?.['toolSpecification'])),
    ...turn.toolResults.map(resultText)
  ]
}

function resultText(result: unknown): string {
  const { content, toolUseId } = asJsonObject(result) ?? {}
  const parts = Array.isArray(content) ? content : []
  return [
    String(toolUseId),
    ...parts.map((part) => textMember(asJsonObject(part) ?? {}, 'text') ?? '')
  ].join('\n')
}

/** Width and height of a PNG. */
function sizeOf(image: unknown): [width: number, height: number] {
  const source = asJsonObject(asJsonObject(image)?.['source']) ?? {}
  const bytes = Buffer.from((textMember(source, 'bytes') ?? '').slice(0, 64), 'base64')
  return [bytes.readUInt32BE(16), bytes.readUInt32BE(20)]
}

function byPatchesOf28(width: number, height: number): number {
  const scale = Math.min(1, 1568 / Math.max(width, height))
  const patches = Math.ceil((width * scale) / 28) * Math.ceil((height * scale) / 28)
  return Math.min(1568, patches)
}

function byPatchesOf32(width: number, height: number): number {
  return Math.min(1536, Math.ceil(width / 32) * Math.ceil(height / 32)) * 1.1
}
