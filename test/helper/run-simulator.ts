import type { Test } from 'tap'
import { Simulator, type SimulatorOptions } from '../strict-simulator/simulator.ts'

/** A simulator for one test. */

/** Starts one without pacing that is closed with the test. */
export async function startSimulator(t: Test, options: SimulatorOptions = {}) {
  const simulator = new Simulator({ gapMs: 0, ...options })
  t.teardown(() => simulator.close())
  return { simulator, ...(await simulator.start()) }
}

/** Lets everything that is ready happen. */
export function tick(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
