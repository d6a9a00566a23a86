import { setTimeout as delay } from 'node:timers/promises'
import { ProcessTree } from '../bench/process-tree.ts'
import { serve } from '../helper/subprocess.ts'

/** Reads the memory of the whole gateway again and again, in a process of its own: to read it holds up nobody who measures times. */

export type MemoryQuestion =
  | { readonly type: 'begin'; readonly pid: number }
  | { readonly type: 'end' }

export interface MemoryFacts {
  /** The highest proportional set size so far, of all processes of the tree together. */
  readonly peakPssMb: number
}

const SampleMs = 500

let isOver = false
let peakPssMb = 0
let watch: Promise<void> = Promise.resolve()

serve(async (question: MemoryQuestion): Promise<MemoryFacts> => {
  if (question.type === 'begin') watch = watchTree(question.pid)
  else {
    isOver = true
    await watch
  }
  return { peakPssMb }
})

async function watchTree(pid: number): Promise<void> {
  const tree = new ProcessTree(pid)
  while (!isOver) {
    peakPssMb = Math.max(peakPssMb, tree.pssMb())
    await delay(SampleMs)
  }
}
