import { MAX_STATE_CHARS } from './fleet-state.ts'

/*
 * Valkey's scripts. Each is sent whole (EVAL), so that a flush or restart cannot lose any.
 *
 *   {kiro:NAME}:ledger   hash: rev, era, state (JSON), signature (of the state)
 *   {kiro:NAME}:beats    hash: incarnation → how many beats of it were kept
 *   {kiro:NAME}:record:* hash: rev, value, at (time of writing, by Valkey's clock)
 *   {kiro:NAME}:news     channel: the revision of the ledger that was written, or the name of a record
 */

/** Run of Valkey: another one may have older data. */
const PROCESS = `
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or ''`

const SIGNATURE_CHARS = 64
const MAX_BEATS_CHARS = 65_536
/** Highest plausible revision: ms of Valkey's clock, and changes since. */
const MAX_REV = 2 ** 47

/** Limits what is read: other programs may have written values of any size. */
const BOUNDS = `
local function stateOf(key)
  return redis.call('HSTRLEN', key, 'state') <= ${MAX_STATE_CHARS} and redis.call('HGET', key, 'state')
end
local function signatureOf(key)
  return redis.call('HSTRLEN', key, 'signature') == ${SIGNATURE_CHARS} and redis.call('HGET', key, 'signature')
end
local function beatsOf(key)
  local beats = redis.call('HGETALL', key)
  local size = 0
  for _, text in ipairs(beats) do size = size + #text end
  return size <= ${MAX_BEATS_CHARS} and beats or {}
end
`

/** An empty ledger gets Valkey's time as its revision, so that a late write to an earlier ledger does not match. */
const RUN = `${PROCESS}${BOUNDS}
local register = redis.call('HMGET', KEYS[1], 'rev', 'era')
local rev = tonumber(register[1] or '') or 0
if not (rev >= 1 and rev < ${MAX_REV} and rev == math.floor(rev)) then
  local now = redis.call('TIME')
  rev = now[1] * 1000 + math.floor(now[2] / 1000)
  redis.call('HSET', KEYS[1], 'rev', string.format('%.0f', rev))
end
`

const TELL = `{run, rev, beatsOf(KEYS[2]), stateOf(KEYS[1]), signatureOf(KEYS[1])}`

/** KEYS: ledger, beats. → run, rev, beats, state, signature */
export const READ_SCRIPT = `${RUN}
return ${TELL}
`

/**
 * KEYS: ledger, beats, channel. ARGV: run, rev, next rev, next era, next state, its signature, number of members, their
 * incarnations, then incarnations with their expected last beats. → is it written, and `READ_SCRIPT`'s result
 */
export const CAS_SCRIPT = `${RUN}
local count = tonumber(ARGV[7])
local isFresh = run == ARGV[1] and rev == tonumber(ARGV[2])
for i = 8 + count, #ARGV, 2 do
  if redis.call('HGET', KEYS[2], ARGV[i]) ~= ARGV[i + 1] then isFresh = false end
end
if not isFresh then return {0, ${TELL}} end
if register[2] ~= ARGV[4] then redis.call('DEL', KEYS[2]) end
local members = {}
for i = 8, 7 + count do
  members[ARGV[i]] = true
  redis.call('HSETNX', KEYS[2], ARGV[i], '0')
end
for _, inc in ipairs(redis.call('HKEYS', KEYS[2])) do
  if not members[inc] then redis.call('HDEL', KEYS[2], inc) end
end
rev = tonumber(ARGV[3])
redis.call('HSET', KEYS[1], 'rev', ARGV[3], 'era', ARGV[4], 'state', ARGV[5], 'signature', ARGV[6])
redis.call('PUBLISH', KEYS[3], ARGV[3])
return {1, ${TELL}}
`

/**
 * KEYS: ledger, beats. ARGV: run, incarnation. → run, rev, beats, is it kept. Valkey counts: if senders numbered beats,
 * one resent late would hide newer ones.
 */
export const BEAT_SCRIPT = `${RUN}
local last = run == ARGV[1] and redis.call('HGET', KEYS[2], ARGV[2])
if last then
  local count = tonumber(last) or 0
  if not (count >= 0 and count < ${MAX_REV}) then count = 0 end
  redis.call('HSET', KEYS[2], ARGV[2], string.format('%.0f', math.floor(count) + 1))
end
return {run, rev, beatsOf(KEYS[2]), last and 1 or 0}
`

/** Reads a record. A key of another type, which is not ours, is '' at revision 0. */
const RECORD = `${PROCESS}
local first = redis.pcall('HGET', KEYS[1], 'rev')
local isOther = type(first) == 'table'
if isOther and not string.find(first.err or '', 'WRONGTYPE', 1, true) then return first end
local rev = not isOther and tonumber(first or '') or 0
if not (rev >= 1 and rev < ${MAX_REV} and rev == math.floor(rev)) then rev = 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function tell()
  if isOther then return {run, 0, '', 0} end
  local isShort = rev > 0 and redis.call('HSTRLEN', KEYS[1], 'value') <= tonumber(ARGV[1])
  local age = now - (tonumber(redis.call('HGET', KEYS[1], 'at') or '') or now)
  return {run, rev, isShort and redis.call('HGET', KEYS[1], 'value'), age}
end
`

/** KEYS: record. ARGV: longest value to return. → run, rev, value, ms since it was written */
export const RECORD_READ_SCRIPT = `${RECORD}
return tell()
`

/**
 * KEYS: record, channel. ARGV: longest value to return, rev, 'set' or 'delete', value, ms to live (0: for ever),
 * message ('': none). → is it written, and `RECORD_READ_SCRIPT`'s result without a value just written. The first
 * revision is Valkey's time, so that none repeats after a loss.
 */
export const RECORD_CAS_SCRIPT = `${RECORD}
if rev ~= tonumber(ARGV[2]) then return {0, tell()} end
if ARGV[3] == 'delete' then
  redis.call('DEL', KEYS[1])
  rev = 0
else
  if isOther then redis.call('DEL', KEYS[1]) end
  rev = rev == 0 and now or rev + 1
  local text = string.format('%.0f', rev)
  redis.call('HSET', KEYS[1], 'rev', text, 'value', ARGV[4], 'at', string.format('%.0f', now))
  if tonumber(ARGV[5]) > 0 then redis.call('PEXPIRE', KEYS[1], ARGV[5]) else redis.call('PERSIST', KEYS[1]) end
end
if ARGV[6] ~= '' then redis.call('PUBLISH', KEYS[2], ARGV[6]) end
return {1, {run, rev, false, 0}}
`

/** KEYS: an unused one. Tries all that the other scripts do and leaves nothing behind. */
export const PROBE_SCRIPT = `
redis.call('HSET', KEYS[1], 'a', '1')
redis.call('HSETNX', KEYS[1], 'b', '1')
redis.call('HEXISTS', KEYS[1], 'a')
redis.call('HGET', KEYS[1], 'a')
redis.call('HSTRLEN', KEYS[1], 'a')
redis.call('HGETALL', KEYS[1])
redis.call('HKEYS', KEYS[1])
redis.call('HDEL', KEYS[1], 'a')
redis.call('PEXPIRE', KEYS[1], 1000)
redis.call('PERSIST', KEYS[1])
redis.call('TIME')
redis.call('DEL', KEYS[1])
return 1
`
