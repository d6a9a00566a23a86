import type { ModelFacts } from '../../../kiro/models/models.ts'
import type { CredentialSnapshot } from '../../../kiro/wire/credential-snapshot.ts'
import type { UpstreamFault } from '../../../kiro/wire/fault.ts'
import { GatewayError } from '../../../shared/errors.ts'
import { askModels, ModelsRefused } from '../../../upstream/call/account-calls.ts'
import type { Checkup } from './checkup.ts'

export type KnownModels =
  | { readonly name: 'listed'; readonly models: readonly ModelFacts[] }
  | { readonly name: 'refused'; readonly fault: UpstreamFault }
  | { readonly name: 'unanswered'; readonly error: GatewayError }

/** Asks like the gateway. Never rejects. */
export async function listModelsOf(
  snapshot: CredentialSnapshot,
  { network, config, signal }: Pick<Checkup, 'network' | 'config' | 'signal'>
): Promise<KnownModels> {
  const { upstream } = config
  try {
    const models = await askModels({ call: network.call, upstream, snapshot, signal })
    return { name: 'listed', models }
  } catch (cause) {
    if (cause instanceof ModelsRefused) return { name: 'refused', fault: cause.fault }
    if (cause instanceof GatewayError) return { name: 'unanswered', error: cause }
    return { name: 'listed', models: [] } // an answer without a model that can be used
  }
}
