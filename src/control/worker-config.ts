import type { Config } from '../config/settings.ts'

/**
 * The config as workers get it: without what could renew or replace the sign-in. They are handed tokens one by one
 * (architecture §1), so that a worker that is taken over gives away no more than the one it has.
 */
export function toWorkerConfig(config: Config): Config {
  const secrets = { credsFile: null, refreshToken: null, apiKey: null, profileArn: null }
  return { ...config, credentials: { ...config.credentials, ...secrets } }
}
