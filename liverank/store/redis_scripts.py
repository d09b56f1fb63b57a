"""The Lua scripts of the live store in Redis: each runs as a whole, so that no reader sees half of a write.

Keys, all under one prefix:

    meta             hash: version, identity, sequence (of the latest record), erasures (number), trimmed (cursor)
    records          hash: sequence -> arrival, a space, msgpack of [kind, key, user or "", JSON]
    events           sorted set of the sequences of interactions and impressions
    versions         sorted set of the sequences of items and users, of each the latest version
    ids:KIND         hash: id -> sequence; makes writes idempotent
    user:ID          sorted set of the sequences of a user's records
    history:ID       sorted set: timestamp -> 16 digits of the sequence, msgpack of [item, type]
    erased           hash: hash of a user's id -> number of the erasure, a space, the cursor then
    readers          hash: who reads the log -> the cursor up to which it has

A stream would hold deleted entries in memory and on disk until all their neighbours are deleted too; an erasure has to
mean something sooner.
"""

from __future__ import annotations

from typing import Final

# Lists longer than this are passed in pieces: Lua's stack holds some 8,000 values.
_COMMON: Final = """
local p = ARGV[1]
local function take(key, since, count)
  return redis.call('ZRANGEBYSCORE', key, '(' .. since, '+inf', 'LIMIT', 0, count)
end
local function page(since, count)
  local one, other = take(p .. 'events', since, count), take(p .. 'versions', since, count)
  local found, i, j = {}, 1, 1
  while #found < count and (one[i] or other[j]) do
    if not other[j] or (one[i] and tonumber(one[i]) < tonumber(other[j])) then
      found[#found + 1] = one[i]
      i = i + 1
    else
      found[#found + 1] = other[j]
      j = j + 1
    end
  end
  return found
end
local function values(numbers)
  local found = {}
  for first = 1, #numbers, 1000 do
    local some = redis.call('HMGET', p .. 'records', unpack(numbers, first, math.min(first + 999, #numbers)))
    for at = 1, #some do found[#found + 1] = some[at] end
  end
  return found
end
local function split(value)
  local gap = string.find(value, ' ', 1, true)
  return string.sub(value, 1, gap - 1), string.sub(value, gap + 1)
end
local function forget(number)
  local arrived, packed = split(redis.call('HGET', p .. 'records', number))
  local record = cmsgpack.unpack(packed)
  redis.call('HDEL', p .. 'ids:' .. record[1], record[2])
  redis.call('HDEL', p .. 'records', number)
  redis.call('ZREM', p .. 'events', number)
  redis.call('ZREM', p .. 'versions', number)
  if record[3] ~= '' then redis.call('ZREM', p .. 'user:' .. record[3], number) end
end
"""

OPEN: Final = """
redis.call('HSETNX', ARGV[1] .. 'meta', 'version', ARGV[2])
redis.call('HSETNX', ARGV[1] .. 'meta', 'identity', ARGV[3])
return redis.call('HMGET', ARGV[1] .. 'meta', 'version', 'identity')
"""
"""prefix, version, identity -> those in force."""

APPEND: Final = (
    _COMMON
    + """
local most, seconds, bound, arrived = ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local sequence = tonumber(redis.call('HGET', p .. 'meta', 'sequence') or '0')
local new, changed = {}, {}
for at = 6, #ARGV, 6 do
  local kind, key, user, packed, time, event = unpack(ARGV, at, at + 5)
  local ids, versioned = p .. 'ids:' .. kind, kind == 'item' or kind == 'user'
  local old = redis.call('HGET', ids, key)
  local fresh = not old
  if old and versioned then
    local was, body = split(redis.call('HGET', p .. 'records', old))
    if body ~= packed then
      forget(old)
      fresh = true
    end
  end
  if fresh then
    sequence = sequence + 1
    local number = string.format('%d', sequence)
    redis.call('HSET', ids, key, number)
    redis.call('HSET', p .. 'records', number, arrived .. ' ' .. packed)
    redis.call('ZADD', p .. (versioned and 'versions' or 'events'), number, number)
    if user ~= '' then redis.call('ZADD', p .. 'user:' .. user, number, number) end
    if time ~= '' then
      redis.call('ZADD', p .. 'history:' .. user, time, string.format('%016d', sequence) .. event)
      changed[p .. 'history:' .. user] = true
    end
  end
  new[#new + 1] = fresh and 1 or 0
end
for history in pairs(changed) do
  redis.call('ZREMRANGEBYRANK', history, 0, -1 - most)
  redis.call('PEXPIRE', history, seconds)
end
redis.call('HSET', p .. 'meta', 'sequence', string.format('%d', sequence))
if bound == 0 then return {new, 0} end
local over = redis.call('ZCARD', p .. 'events') - bound
if over > 0 then
  local readers, safe, copied = redis.call('HGETALL', p .. 'readers'), math.huge, false
  for at = 1, #readers, 2 do
    safe = math.min(safe, tonumber(readers[at + 1]))
    copied = copied or string.sub(readers[at], 1, 8) == 'landing '
  end
  if not copied then safe = 0 end
  -- A few more than came in, so that a log shrinks to its bound without ever keeping others waiting for long.
  local oldest = redis.call('ZRANGE', p .. 'events', 0, math.min(over, 100 + 2 * #new) - 1)
  for _, number in ipairs(oldest) do
    if tonumber(number) > safe then break end
    forget(number)
    redis.call('HSET', p .. 'meta', 'trimmed', number)
    over = over - 1
  end
  if over > 0 and redis.call('ZRANGE', p .. 'events', 0, 0)[1] + 0 <= safe then over = 0 end
end
return {new, math.max(over, 0)}
"""
)
"""prefix, events and milliseconds of a history, records of the log, arrival, and six for each record: kind, id, user
or "", msgpack of the record, timestamp or "", msgpack of an event for the history -> for each record 1 or 0: new or
not; how many records of the log too many its readers have not read."""

PAGE: Final = (
    _COMMON
    + """
local numbers = page(ARGV[2], tonumber(ARGV[3]))
return {numbers, values(numbers)}
"""
)
"""prefix, cursor, most -> sequences and records after the cursor, in order."""

VERSIONS: Final = (
    _COMMON
    + """
local numbers = take(p .. 'versions', ARGV[2], ARGV[3])
return {numbers, values(numbers)}
"""
)
"""As PAGE, of items and users alone."""

USER: Final = (
    _COMMON
    + """
local numbers = redis.call('ZRANGE', p .. 'user:' .. ARGV[2], 0, -1)
return {numbers, values(numbers)}
"""
)
"""prefix, user -> sequences and records of a user, in order."""

ARRIVED: Final = (
    _COMMON
    + """
local numbers = page(ARGV[2], 1000)
local found = values(numbers)
for at = 1, #numbers do
  if tonumber((split(found[at]))) >= tonumber(ARGV[3]) then return {numbers[at], 1} end
end
return {numbers[#numbers] or ARGV[2], #numbers == 0 and -1 or 0}
"""
)
"""prefix, cursor, arrival -> the first of the next thousand records that arrived then or later and 1; or the last of
them and 0, where none did; or the cursor and -1, where there are no more."""

ERASE: Final = (
    _COMMON
    + """
local numbers = redis.call('ZRANGE', p .. 'user:' .. ARGV[2], 0, -1)
for _, number in ipairs(numbers) do forget(number) end
local known = redis.call('DEL', p .. 'history:' .. ARGV[2])
-- What was removed from a bounded log may have been the user's, and copies of the log have it still.
if #numbers > 0 or known > 0 or redis.call('HEXISTS', p .. 'meta', 'trimmed') == 1 then
  local count = redis.call('HINCRBY', p .. 'meta', 'erasures', 1)
  local cursor = redis.call('HGET', p .. 'meta', 'sequence') or '0'
  redis.call('HSET', p .. 'erased', ARGV[3], string.format('%d', count) .. ' ' .. cursor)
end
return #numbers
"""
)
"""prefix, user, hash of the user's id -> how many records were the user's."""
