/** What the simulator serves, by the names that its statistics use. */
export type Operation =
  | 'generateAssistantResponse'
  | 'listAvailableModels'
  | 'listAvailableProfiles'
  | 'getUsageLimits'
  | 'refreshToken'
  | 'createToken'
  | 'mcp'

/** Paths without their dashes, in lower case: `/List-Available-Models` is `/ListAvailableModels`. */
const BY_PATH: Readonly<Record<string, Operation>> = {
  'POST /generateassistantresponse': 'generateAssistantResponse',
  'GET /listavailablemodels': 'listAvailableModels',
  'POST /listavailablemodels': 'listAvailableModels',
  'POST /listavailableprofiles': 'listAvailableProfiles',
  'GET /getusagelimits': 'getUsageLimits',
  'POST /getusagelimits': 'getUsageLimits',
  'POST /refreshtoken': 'refreshToken',
  'POST /token': 'createToken',
  'POST /mcp': 'mcp'
}

/** Second half of `x-amz-target`; the service before it differs between clients. */
const BY_TARGET: Readonly<Record<string, Operation>> = {
  GenerateAssistantResponse: 'generateAssistantResponse',
  ListAvailableModels: 'listAvailableModels',
  ListAvailableProfiles: 'listAvailableProfiles',
  GetUsageLimits: 'getUsageLimits'
}

/** Finds the operation as kiro-protocol §1.3 addresses it: by path, or by target on `POST /`. */
export function findOperation(
  method: string,
  path: string,
  target: string | undefined
): Operation | undefined {
  if (path !== '/') return BY_PATH[`${method} ${path.replaceAll('-', '').toLowerCase()}`]
  const action = target?.slice(target.lastIndexOf('.') + 1)
  return method === 'POST' && action !== undefined ? BY_TARGET[action] : undefined
}
