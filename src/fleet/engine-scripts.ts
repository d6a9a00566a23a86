/*
 * The scripts that the engine runs. Each is sent whole every time (EVAL): a few hundred bytes, and nothing that a flush or
 * another process of the engine could have forgotten.
 *
 *   {kiro:NAME}:ledger   hash: rev, era, state (JSON)
 *   {kiro:NAME}:beats    hash: incarnation → its last beat
 *   {kiro:NAME}:news     channel: the revision that was written
 */

/** The process of the engine: what another one knows may be older than what this one has said. */
const RUN = `
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or ''
local register = redis.call('HMGET', KEYS[1], 'rev', 'era', 'state')
local rev = tonumber(register[1] or '') or 0
`

const TELL = `{run, rev, redis.call('HGETALL', KEYS[2]), redis.call('HGET', KEYS[1], 'state')}`

/** KEYS: ledger, beats. → run, rev, beats, state */
export const READ_SCRIPT = `${RUN}
return ${TELL}
`

/**
 * KEYS: ledger, beats, channel. ARGV: run, rev, next rev, next era, next state, number of members, their incarnations, then
 * incarnations and the beats that they must have had last. → is it written, and what `READ_SCRIPT` tells.
 */
export const CAS_SCRIPT = `${RUN}
local count = tonumber(ARGV[6])
local isFresh = run == ARGV[1] and rev == tonumber(ARGV[2])
for i = 7 + count, #ARGV, 2 do
  if redis.call('HGET', KEYS[2], ARGV[i]) ~= ARGV[i + 1] then isFresh = false end
end
if not isFresh then return {0, ${TELL}} end
if register[2] ~= ARGV[4] then redis.call('DEL', KEYS[2]) end
local members = {}
for i = 7, 6 + count do
  members[ARGV[i]] = true
  redis.call('HSETNX', KEYS[2], ARGV[i], '0')
end
for _, inc in ipairs(redis.call('HKEYS', KEYS[2])) do
  if not members[inc] then redis.call('HDEL', KEYS[2], inc) end
end
rev = tonumber(ARGV[3])
redis.call('HSET', KEYS[1], 'rev', ARGV[3], 'era', ARGV[4], 'state', ARGV[5])
redis.call('PUBLISH', KEYS[3], ARGV[3])
return {1, ${TELL}}
`

/** KEYS: ledger, beats. ARGV: run, era, incarnation, beat. → run, rev, beats, is it kept */
export const BEAT_SCRIPT = `${RUN}
local isKept = run == ARGV[1] and register[2] == ARGV[2] and redis.call('HEXISTS', KEYS[2], ARGV[3]) == 1
if isKept then redis.call('HSET', KEYS[2], ARGV[3], ARGV[4]) end
return {run, rev, redis.call('HGETALL', KEYS[2]), isKept and 1 or 0}
`
