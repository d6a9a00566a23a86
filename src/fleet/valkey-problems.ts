/** First version of Valkey and Redis with functions, non-refusing scripts and `maxmemory_policy` in INFO. */
const OLDEST_MAJOR = 7

export const VALKEY_RIGHTS =
  '~{kiro:* &{kiro:* +info +eval +hmget +hget +hset +hsetnx +hexists +hgetall +hkeys +hdel +hstrlen +del +pexpire +persist +time +publish +subscribe +wait +select +ping'

/** Judges INFO's server and memory sections; `null` if both are fine. */
export function problemOfValkey(server: string, memory: string): string | null {
  const version = fieldOf(server, 'redis_version')
  const major = Number.parseInt(version ?? '', 10)
  if (Number.isInteger(major) && major < OLDEST_MAJOR) {
    return `FLEET_URL leads to a server of version ${version?.slice(0, 20)}: it must be Valkey, or Redis from version ${OLDEST_MAJOR} on.`
  }
  if (fieldOf(server, 'redis_mode') === 'cluster') {
    return 'FLEET_URL leads to a cluster: a fleet needs a single Valkey of its own.'
  }
  if (fieldOf(server, 'run_id') === undefined) {
    return 'FLEET_URL leads to a server that does not report its run_id (INFO server), so a restart could not be noticed.'
  }
  const policy = fieldOf(memory, 'maxmemory_policy')
  if (policy?.startsWith('allkeys-') === true) {
    return `FLEET_URL leads to a server that may evict any key when its memory is full (maxmemory-policy ${policy.slice(0, 20)}): set noeviction or a volatile- policy.`
  }
  return null
}

/** `null` for temporary errors. Never repeats Valkey's own text. */
export function refusalOf(message: string): string | null {
  if (
    /^(WRONGPASS|NOAUTH)|invalid username-password|without any password configured/.test(message)
  ) {
    return 'Valkey rejects the user or password of FLEET_URL.'
  }
  if (/^NOPERM|ACL failure in script/.test(message)) {
    return `The user of FLEET_URL lacks permissions that a fleet needs: ${VALKEY_RIGHTS}.`
  }
  if (message.includes('WRONGTYPE')) {
    return 'The keys of FLEET_NAME in Valkey belong to another program: choose another FLEET_NAME, or a separate Valkey.'
  }
  if (/unknown command|disabled/i.test(message)) {
    return 'FLEET_URL leads to a server that refuses scripts (EVAL), which a fleet needs.'
  }
  if (/invalid DB index|out of range/i.test(message)) {
    return 'FLEET_URL names a database that does not exist in Valkey.'
  }
  return null
}

function fieldOf(text: string, name: string): string | undefined {
  const line = text.split(/\r?\n/).find((one) => one.startsWith(`${name}:`))
  const value = line?.slice(name.length + 1).trim()
  return value === '' ? undefined : value
}
