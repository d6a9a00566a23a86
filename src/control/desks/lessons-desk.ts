import {
  type FromWorker,
  type KiroKeyVerdict,
  MAX_ACCEPTED_KEYS,
  type ToWorker
} from '../../ipc/messages.ts'
import { ConversationMemory } from '../../kiro/conversation/conversation-memory.ts'
import { TokenCalibration } from '../../kiro/models/tokens.ts'
import type { LearntForm } from '../../kiro/wire/hosts.ts'
import type { Logger } from '../../observe/logger.ts'

type Subject = 'calibration' | 'form' | 'conversation' | 'kiro-key'
type WorkerLesson = Extract<FromWorker, { type: `${Subject}.lesson` }>
type Learnt = Extract<ToWorker, { type: `${Subject}.learnt` }>

/** Hosts and kinds of account that are remembered: a gateway has one of each, or a few. */
const MAX_FORMS = 64

/** No estimate is further from the truth than this; but it is where the window is not the one that the upstream has. */
const DOUBT_FACTOR = 2.5
/** Consecutive requests of a model that must contradict the list. */
const DOUBTED_AFTER = 5
/** Models that are watched for that; beyond it the one that came first is forgotten. */
const MAX_DOUBTS = 64

export interface LessonsDeskOptions {
  readonly log: Logger
  /** Tells all workers, also the one that has said it. */
  readonly tell: (learnt: Learnt) => void
}

/**
 * Lessons of the workers about the upstream. The primary puts them in one order, so that all workers, including later
 * ones, know the same.
 */
export class LessonsDesk {
  readonly #options: LessonsDeskOptions
  readonly #calibration = new TokenCalibration()
  readonly #conversations = new ConversationMemory((learnt) =>
    this.#options.tell({ type: 'conversation.learnt', ...learnt })
  )
  /** By operation, kind of account and host. Bounded by MAX_FORMS. */
  readonly #forms = new Map<string, LearntForm>()
  /** By model: requests in a row whose tokens contradict their estimate. Bounded by MAX_DOUBTS. */
  readonly #doubts = new Map<string, number>()
  /** Kiro keys of clients, by name. Bounded by MAX_ACCEPTED_KEYS. */
  readonly #acceptedKeys = new Set<string>()

  constructor(options: LessonsDeskOptions) {
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
        const { modelId, estimated, measured } = lesson
        this.#doubt(modelId, estimated, measured)
        const learnt = this.#calibration.learn(modelId, estimated, measured)
        if (learnt !== null) this.#options.tell({ type: 'calibration.learnt', ...learnt })
      }
    }
  }

  /** Everything that is known, for a worker that begins. */
  all(): readonly Learnt[] {
    return [
      ...[...this.#calibration.learnt()].map(
        (learnt) => ({ type: 'calibration.learnt', ...learnt }) as const
      ),
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
    this.#acceptedKeys.delete(name)
    if (isAccepted) this.#acceptedKeys.add(name)
    const [oldest] = this.#acceptedKeys
    if (this.#acceptedKeys.size > MAX_ACCEPTED_KEYS && oldest !== undefined)
      this.#acceptedKeys.delete(oldest)
    this.#options.tell({ type: 'kiro-key.learnt', name, isAccepted })
  }

  /** The upstream counts in percent of a window, whose size may have changed without a word (kiro-protocol §6.2). */
  #doubt(modelId: string, estimated: number, measured: number): void {
    const ratio = measured / estimated
    const isFarOff = ratio > DOUBT_FACTOR || ratio < 1 / DOUBT_FACTOR
    const inARow = isFarOff ? (this.#doubts.get(modelId) ?? 0) + 1 : 0
    const [oldest] = this.#doubts.keys()
    const isFull = this.#doubts.size >= MAX_DOUBTS && !this.#doubts.has(modelId)
    if (isFull && oldest !== undefined) this.#doubts.delete(oldest)
    this.#doubts.set(modelId, inARow)
    if (inARow !== DOUBTED_AFTER) return
    this.#options.log.warn(
      { model: modelId, estimated, measured },
      'the context window of this model may differ from the list (MODEL_CONTEXT_WINDOWS)'
    )
  }

  #onForm(lesson: LearntForm): void {
    const { host, authType, operation, form } = lesson
    const name = `${operation} ${authType} ${host}`
    const isNews = this.#forms.get(name)?.form !== form
    if (!isNews) return // several workers, or several requests of one, have met the same refusal
    const learnt = { host, authType, operation, form }
    this.#keepForm(learnt)
    const { origin } = new URL(host)
    const facts = { origin, accountType: authType, operation, form }
    this.#options.log.info(facts, 'upstream accepts this request form')
    this.#options.tell({ type: 'form.learnt', ...learnt })
  }

  #keepForm({ host, authType, operation, form }: LearntForm): void {
    const name = `${operation} ${authType} ${host}`
    const [oldest] = this.#forms.keys()
    const isFull = this.#forms.size >= MAX_FORMS && !this.#forms.has(name)
    if (isFull && oldest !== undefined) this.#forms.delete(oldest)
    this.#forms.set(name, { host, authType, operation, form })
  }
}
