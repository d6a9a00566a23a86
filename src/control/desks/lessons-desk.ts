import type { FromWorker, ToWorker } from '../../ipc/messages.ts'
import { TokenCalibration } from '../../kiro/models/tokens.ts'
import type { LearntForm } from '../../kiro/wire/hosts.ts'
import type { Logger } from '../../observe/logger.ts'

type Lesson = Extract<FromWorker, { type: 'calibration.lesson' | 'form.lesson' }>
type Learnt = Extract<ToWorker, { type: 'calibration.learnt' | 'form.learnt' }>

/** Hosts and kinds of account that are remembered: a gateway has one of each, or a few. */
const MAX_FORMS = 64

export interface LessonsDeskOptions {
  readonly log: Logger
  /** Tells all workers, also the one that has said it. */
  readonly tell: (learnt: Learnt) => void
}

/**
 * What the workers have found out about the upstream. The primary puts the lessons of all in one order, so that workers
 * know the same, and those that are started later, too.
 */
export class LessonsDesk {
  readonly #options: LessonsDeskOptions
  readonly #calibration = new TokenCalibration()
  /** By kind of account and host. Bounded by MAX_FORMS. */
  readonly #forms = new Map<string, LearntForm>()

  constructor(options: LessonsDeskOptions) {
    this.#options = options
  }

  onLesson(lesson: Lesson): void {
    if (lesson.type === 'form.lesson') {
      this.#onForm(lesson)
      return
    }
    const { modelId, estimated, measured } = lesson
    const learnt = this.#calibration.learn(modelId, estimated, measured)
    if (learnt !== null) this.#options.tell({ type: 'calibration.learnt', ...learnt })
  }

  /** Everything that is known, for a worker that begins. */
  all(): readonly Learnt[] {
    return [
      ...[...this.#calibration.learnt()].map(
        (learnt) => ({ type: 'calibration.learnt', ...learnt }) as const
      ),
      ...[...this.#forms.values()].map((learnt) => ({ type: 'form.learnt', ...learnt }) as const)
    ]
  }

  #onForm({ host, authType, form }: LearntForm): void {
    const name = `${authType} ${host}`
    const isNews = this.#forms.get(name)?.form !== form
    if (!isNews) return // several workers, or several requests of one, have met the same refusal
    const [oldest] = this.#forms.keys()
    if (this.#forms.size >= MAX_FORMS && oldest !== undefined) this.#forms.delete(oldest)
    this.#forms.set(name, { host, authType, form })
    const { origin } = new URL(host)
    this.#options.log.info({ origin, accountType: authType, form }, 'upstream takes this form')
    this.#options.tell({ type: 'form.learnt', host, authType, form })
  }
}
