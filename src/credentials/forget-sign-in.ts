import { rm } from 'node:fs/promises'
import { awaitedSignIn, removeSignIn } from './own-sign-in.ts'
import { OverlayStore } from './vault.ts'

/** Removes the saved sign-in; false if there was none. Rejects with Node's error. */
export async function forgetSignIn(stateDir: string, region: string): Promise<boolean> {
  const log = { warn: () => {} }
  // The overlay first: only the sign-in tells its name.
  const { id } = awaitedSignIn(stateDir, { region, log })
  await rm(new OverlayStore(stateDir, id, log).path, { force: true })
  return removeSignIn(stateDir)
}
