import type { Lesson, LessonsDesk } from '../desks/lessons-desk.ts'
import {
  formName,
  isWorthTelling,
  type LessonBook,
  mergeLessons,
  NO_LESSONS,
  parseLessons
} from './lesson-book.ts'
import type { FoundValue, SharedRecords, SharedValue } from './shared-records.ts'

export interface SharedLessonsOptions {
  readonly lessons: Pick<LessonsDesk, 'adopt' | 'share'>
  readonly hub: Pick<SharedRecords, 'add'>
  /** Lessons of so long are told at once. */
  readonly gapMs: number
}

/** Lessons of all gateways of a fleet about the upstream's tokenizers and request forms. */
export class SharedLessons implements SharedValue<LessonBook> {
  readonly name = 'lessons'
  readonly gapMs: number
  readonly parse = parseLessons
  readonly #options: SharedLessonsOptions
  /** Bounded by what the desk remembers. */
  #book = NO_LESSONS

  constructor(options: SharedLessonsOptions) {
    this.gapMs = options.gapMs
    this.#options = options
  }

  start(): void {
    const { lessons, hub } = this.#options
    const touch = hub.add(this)
    lessons.share((lesson) => {
      this.#learn(lesson)
      touch()
    })
  }

  readonly next = (found: FoundValue<LessonBook> | null): LessonBook | null => {
    const there = found?.value ?? NO_LESSONS
    return isWorthTelling(this.#book, there) ? mergeLessons(there, this.#book) : null
  }

  readonly onFound = ({ value }: FoundValue<LessonBook>): void => {
    const { lessons } = this.#options
    const before = this.#book
    this.#book = mergeLessons(before, value)
    for (const learnt of Object.values(this.#book.tokens)) {
      if (learnt !== before.tokens[learnt.modelId]) {
        const { n: _, ...rest } = learnt
        lessons.adopt({ type: 'calibration.learnt', ...rest })
      }
    }
    for (const [name, { n: _, ...learnt }] of Object.entries(this.#book.forms)) {
      if (learnt.form !== before.forms[name]?.form)
        lessons.adopt({ type: 'form.learnt', ...learnt })
    }
  }

  #learn(lesson: Lesson): void {
    const { tokens, forms } = this.#book
    if (lesson.type === 'form.learnt') {
      const { type: _, ...learnt } = lesson
      const name = formName(learnt)
      const n = (forms[name]?.n ?? 0) + 1
      this.#book = mergeLessons(this.#book, { tokens: {}, forms: { [name]: { ...learnt, n } } })
    } else {
      const { type: _, ...learnt } = lesson
      const n = (tokens[learnt.modelId]?.n ?? 0) + 1
      this.#book = mergeLessons(this.#book, {
        tokens: { [learnt.modelId]: { ...learnt, n } },
        forms: {}
      })
    }
  }
}
