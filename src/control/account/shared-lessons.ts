import {
  type FromWorker,
  type KiroKeyVerdict,
  MAX_ACCEPTED_KEYS,
  type ToWorker
} from '../../ipc/messages.ts'
import { ConversationMemory } from '../../kiro/conversation/conversation-memory.ts'
import { sumOfGroups } from '../../kiro/tokens/request-tokens.ts'
import type { TokenLesson } from '../../kiro/tokens/token-gauge.ts'
import type { LearntForm } from '../../kiro/wire/hosts.ts'
import type { Logger } from '../../observe/logger.ts'
import { addNewest, setNewest } from '../../shared/newest.ts'
import type { LearntTokens } from './learnt-tokens.ts'

type Subject = 'calibration' | 'form' | 'conversation' | 'kiro-key'
type WorkerLesson = Extract<FromWorker, { type: `${Subject}.lesson` }>
type Learnt = Extract<ToWorker, { type: `${Subject}.learnt` }>

const MAX_FORMS = 64

/** Counts are never this wrong, unless the window differs from the upstream's. */
const DOUBT_FACTOR = 2.5
/** In smaller requests the upstream's own prompt may be most of it. */
const DOUBTED_FROM = 8_000
const DOUBTED_AFTER = 5
const MAX_DOUBTS = 64

export interface SharedLessonsOptions {
  readonly log: Logger
  readonly tell: (learnt: Learnt) => void
  readonly tokens: Pick<LearntTokens, 'learn' | 'all'>
}

/** Puts the lessons of all workers into one order, so that all, including later ones, know the same. */
export class SharedLessons {
  readonly #options: SharedLessonsOptions
  readonly #conversations = new ConversationMemory((learnt) =>
    this.#options.tell({ type: 'conversation.learnt', ...learnt })
  )
  /** By operation, kind of account and host. Bounded by MAX_FORMS. */
  readonly #forms = new Map<string, LearntForm>()
  /** By model: consecutive contradictions. Bounded by MAX_DOUBTS. */
  readonly #doubts = new Map<string, number>()
  /** Bounded by MAX_ACCEPTED_KEYS. */
  readonly #acceptedKeys = new Set<string>()

  constructor(options: SharedLessonsOptions) {
    this.#options = options
  }

  onLesson(lesson: WorkerLesson): void {
    switch (lesson.type) {
      case 'form.lesson':
        return this.#onForm(lesson)
      case 'conversation.lesson': {
        const { type: _, ...parts } = lesson
        return this.#conversations.learn(parts)
      }
      case 'kiro-key.lesson':
        return this.#onKey(lesson)
      case 'calibration.lesson': {
        const { type: _, ...measured } = lesson
        this.#doubt(measured)
        return this.#options.tokens.learn(measured)
      }
    }
  }

  all(): readonly Learnt[] {
    const tokens = this.#options.tokens.all()
    return [
      ...(tokens.gauges.length === 0 ? [] : [{ type: 'calibration.learnt', ...tokens } as const]),
      ...[...this.#forms.values()].map((learnt) => ({ type: 'form.learnt', ...learnt }) as const),
      ...this.#conversations
        .all()
        .map((learnt) => ({ type: 'conversation.learnt', ...learnt }) as const),
      ...[...this.#acceptedKeys].map(
        (name) => ({ type: 'kiro-key.learnt', name, isAccepted: true }) as const
      )
    ]
  }

  #onKey({ name, isAccepted }: KiroKeyVerdict): void {
    if (isAccepted) addNewest(this.#acceptedKeys, MAX_ACCEPTED_KEYS, name)
    else this.#acceptedKeys.delete(name)
    this.#options.tell({ type: 'kiro-key.learnt', name, isAccepted })
  }

  /** The upstream reports percentages of a window whose size may have changed silently (kiro-protocol §6.2). */
  #doubt({ model, groups, measured }: TokenLesson): void {
    const estimated = Math.round(sumOfGroups(groups))
    if (estimated < DOUBTED_FROM) return
    const ratio = measured / estimated
    const isFarOff = ratio > DOUBT_FACTOR || ratio < 1 / DOUBT_FACTOR
    const inARow = isFarOff ? (this.#doubts.get(model) ?? 0) + 1 : 0
    setNewest(this.#doubts, MAX_DOUBTS, model, inARow)
    if (inARow !== DOUBTED_AFTER) return
    this.#options.log.warn(
      { model, estimated, measured },
      'the context window of this model may differ from the list (MODEL_CONTEXT_WINDOWS)'
    )
  }

  #onForm(lesson: LearntForm): void {
    const { host, authType, operation, form } = lesson
    const name = `${operation} ${authType} ${host}`
    const isNews = this.#forms.get(name)?.form !== form
    if (!isNews) return // several workers, or several requests of one, have met the same refusal
    const learnt = { host, authType, operation, form }
    setNewest(this.#forms, MAX_FORMS, name, learnt)
    const { origin } = new URL(host)
    const facts = { origin, accountType: authType, operation, form }
    this.#options.log.info(facts, 'upstream accepts this request form')
    this.#options.tell({ type: 'form.learnt', ...learnt })
  }
}
