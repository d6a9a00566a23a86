import { ModelCatalogue } from '../../../control/account/model-catalogue.ts'
import type { ModelFacts } from '../../../kiro/models/models.ts'
import type { CredentialSnapshot } from '../../../kiro/wire/credential-snapshot.ts'
import { faultOfResponse, type UpstreamFault } from '../../../kiro/wire/fault.ts'
import { createLogger } from '../../../observe/logger.ts'
import { asGatewayError, type GatewayError } from '../../../shared/errors.ts'
import type { JsonCall, JsonResponse } from '../../../upstream/call/json-exchange.ts'
import type { Checkup } from './checkup.ts'

export type KnownModels =
  | { readonly name: 'listed'; readonly models: readonly ModelFacts[] }
  | { readonly name: 'refused'; readonly fault: UpstreamFault }
  | { readonly name: 'unanswered'; readonly error: GatewayError }

/** Findings contain everything that would be logged. */
const log = createLogger('silent', {}, { write: () => {} })

/** Asks like the gateway. Never rejects. */
export async function listModelsOf(
  snapshot: CredentialSnapshot,
  { network, config }: Pick<Checkup, 'network' | 'config'>
): Promise<KnownModels> {
  let last: JsonResponse | GatewayError | null = null
  const call: JsonCall = async (request, signal) => {
    try {
      last = await network.call(request, signal)
      return last
    } catch (cause) {
      last = asGatewayError(cause)
      throw last
    }
  }
  const catalogue = new ModelCatalogue({
    call,
    upstream: config.upstream,
    credential: () => snapshot,
    onChange: () => {},
    log
  })
  await catalogue.start()
  catalogue.close()
  const { models, isLive } = catalogue.current
  if (isLive) return { name: 'listed', models }
  return outcomeOf(last, snapshot.token)
}

function outcomeOf(last: JsonResponse | GatewayError | null, token: string): KnownModels {
  if (last === null || last instanceof Error) {
    return { name: 'unanswered', error: asGatewayError(last) }
  }
  const { status, headers, text } = last
  if (status === 200) return { name: 'listed', models: [] }
  const response = { status, headers, body: text, token, now: Date.now() }
  return { name: 'refused', fault: faultOfResponse(response) }
}
