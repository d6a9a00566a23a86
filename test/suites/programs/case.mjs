/** Where the programs find the gateway. */
export const url = process.env.GATEWAY_URL
export const key = process.env.GATEWAY_KEY
export const model = process.env.GATEWAY_MODEL

/** Runs one test of a suite and prints how it ended, as `runCases()` reads it. */
export async function attempt(name, action) {
  let problem = null
  try {
    await action()
  } catch (error) {
    problem = [error.message, error.rawMessage, error.cause?.message].filter(Boolean).join(': ')
  }
  process.stdout.write(`${JSON.stringify({ name, problem })}\n`)
}

export function expect(condition, problem) {
  if (!condition) throw new Error(problem)
}
