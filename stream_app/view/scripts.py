"""The view's writes, each one step of Redis, in Lua.

A batch of records and the position after it become visible together, so a follower that dies resumes exactly there.
Each script first checks whether its generation is still to be written: Redis may have been emptied, or a rebuild may
have replaced the generation. Two followers at once do no harm: a record whose offset is below the position is skipped,
so nothing is counted twice.
"""

from __future__ import annotations

from typing import Final

from stream_app.adapters.view_schema import REFUSED_DAYS, REFUSED_EXAMPLES, UNKNOWN_MONEY
from stream_app.core.clock import DAY_MS, SECOND_MS

OK: Final = b"OK"
MOVED: Final = b"MOVED"
"""The generation is no longer the one to write, or has vanished."""
GAP: Final = b"GAP"
"""Records before these are missing in Redis: another follower was here, or a failover has lost writes."""
WAIT: Final = b"WAIT"
"""A rebuild is about to take over."""
BEHIND: Final = b"BEHIND"
"""The new generation has not caught up with the old one yet."""

BUILDING_MS: Final = 60_000
"""An unfinished generation whose builder was silent for this long may be deleted."""
HANDOVER_MS: Final = 3_000
"""A rebuild that has not taken over by then has failed, and the old generation continues."""
UNPAIRED_SECONDS: Final = 600
"""A migration's reason waits this long for its membership, then it is deleted: the customer was."""

_WRITABLE: Final = """
local prefix, generation = ARGV[1], ARGV[2]
local root = prefix .. generation .. ':'
local pointed = redis.call('GET', prefix .. 'generation')
if pointed ~= generation and redis.call('EXISTS', root .. 'building') == 0 then return {'MOVED', 0} end
"""

APPLY: Final = (
    _WRITABLE
    + """
if pointed == generation and redis.call('EXISTS', prefix .. 'handover') == 1 then return {'WAIT', 0} end
local kind, partition, first, next_offset = ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6]
local field = kind .. '/' .. partition
local position = redis.call('HGET', root .. 'position', field)
if not position then return {'MOVED', 0} end
position = tonumber(position)
if first > position then return {'GAP', 0} end
local written = 0

local function members(segmentation, segment)
  return root .. 'm:' .. segmentation .. ':' .. segment
end

-- the path that silence will take a customer by, and when; nothing if it moves the customer no more
local function path_ahead(value)
  local segment, at, target = string.match(value, '^%d+ (%S+) %S+ %S+ %S+ (%S+) (%S+)$')
  if at then return segment .. '>' .. target, at end
end

local function note_ahead(customer, segmentation, old, new)
  local key = root .. 'u:' .. segmentation
  local before = old and path_ahead(old)
  local after, at
  if new then after, at = path_ahead(new) end
  if before and before ~= after then redis.call('ZREM', key .. ':' .. before, customer) end
  if after then
    redis.call('ZADD', key .. ':' .. after, at, customer)
    redis.call('SADD', key, after)
  end
end

local function remove(customer, segmentation)
  local key = root .. 'c:' .. customer
  local old = redis.call('HGET', key, segmentation)
  if not old then return 0 end
  note_ahead(customer, segmentation, old, nil)
  local sequence, segment = string.match(old, '^(%d+) (%S+)')
  redis.call('ZREM', members(segmentation, segment), customer)
  redis.call('HDEL', key, segmentation)
  local why = redis.call('HGET', key, '?' .. segmentation)
  if why and tonumber(string.match(why, '^%[(%d+)')) <= tonumber(sequence) then  -- a later one is of a return
    redis.call('HDEL', key, '?' .. segmentation)
  end
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if string.sub(field, 1, 1) ~= '?' then return 1 end
  end
  redis.call('EXPIRE', key, UNPAIRED)  -- reasons that wait for their memberships, if there are any
  redis.call('EXPIRE', root .. 'h:' .. customer, UNPAIRED)
  return 1
end

local function memberships(record)
  local customer, segmentation, segment, since, sequence, value = unpack(record, 2, 7)
  if not segment then return remove(customer, segmentation) end
  local key = root .. 'c:' .. customer
  local old = redis.call('HGET', key, segmentation)
  if old then
    local old_sequence, old_segment = string.match(old, '^(%d+) (%S+)')
    if tonumber(old_sequence) >= sequence then return 0 end
    if old_segment ~= segment then redis.call('ZREM', members(segmentation, old_segment), customer) end
  else
    redis.call('PERSIST', key)
    redis.call('PERSIST', root .. 'h:' .. customer)
  end
  note_ahead(customer, segmentation, old, value)
  redis.call('HSET', key, segmentation, value)
  redis.call('ZADD', members(segmentation, segment), since, customer)
  return 1
end

-- what a notice says of the next move holds for the segment that the customer is in since before the notice
local function upcoming(record)
  local customer, segmentation, segment, decided_at, following = unpack(record, 2, 6)
  local key = root .. 'c:' .. customer
  local old = redis.call('HGET', key, segmentation)
  if not old then return 0 end
  local membership, old_segment, since = string.match(old, '^(%d+ (%S+) (%S+) %S+ %S+)')
  if old_segment ~= segment or tonumber(since) > decided_at then return 0 end
  if following ~= '' then membership = membership .. ' ' .. following end
  note_ahead(customer, segmentation, old, membership)
  redis.call('HSET', key, segmentation, membership)
  return 1
end

local feed_position, feed_length, history_length = -1, ARGV[8], tonumber(ARGV[9])
if kind == 'migrations' then
  feed_position = tonumber(redis.call('HGET', prefix .. 'feed:position', partition) or 0)
end

-- all that migrations have left of a customer before this one, whose memberships are removed by the memberships
local function forget(customer, at)
  local drawn = redis.call('HGET', root .. 'buyers', partition)
  local quoted = string.gsub(cjson.encode(customer), '\\\\/', '/')
  if drawn and string.find(drawn, quoted, 1, true) then redis.call('HDEL', root .. 'buyers', partition) end
  if at > tonumber(redis.call('HGET', root .. 'forgot', partition) or 0) then
    redis.call('HSET', root .. 'forgot', partition, string.format('%.0f', at))
  end
  local key = root .. 'c:' .. customer
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if string.sub(field, 1, 1) == '?' then redis.call('HDEL', key, field) end
  end
  redis.call('DEL', root .. 'h:' .. customer)
  redis.call('ZADD', prefix .. 'forgotten', ARGV[7], customer)  -- what the feed has of it goes a little later
  return 1
end

local function migrations(record)
  if not record[3] then return forget(record[2], record[4]) end
  local offset, customer, segmentation, sequence, why, has_left, day, flow, raw, past = unpack(record, 1, 10)
  local past_end, revenue = record[11], record[12]
  local key, field = root .. 'c:' .. customer, '?' .. segmentation
  local old = redis.call('HGET', key, field)
  if old and tonumber(string.match(old, '^%[(%d+)')) >= sequence then
    -- a later one was here
  elseif has_left then  -- the customer has left: its membership is removed by the memberships
    redis.call('HDEL', key, field)
  else
    local is_new = not old and redis.call('EXISTS', key) == 0
    redis.call('HSET', key, field, why)
    if is_new then redis.call('EXPIRE', key, UNPAIRED) end
  end
  if history_length > 0 then
    local history = root .. 'h:' .. customer
    redis.call('LPUSH', history, past .. why .. past_end)
    redis.call('LTRIM', history, 0, history_length - 1)
    if redis.call('PTTL', key) ~= -1 then redis.call('EXPIRE', history, UNPAIRED) end  -- waits as the reason does
  end
  if redis.call('HINCRBY', root .. 'f:' .. segmentation .. ':' .. day, flow, 1) == 1 then
    redis.call('SADD', root .. 'd:' .. segmentation, day)
  end
  local money = root .. 'v:' .. segmentation .. ':' .. day
  if revenue then
    if revenue ~= 0 then redis.call('HINCRBY', money, flow, string.format('%.0f', revenue)) end
  else
    redis.call('HINCRBY', money, 'UNKNOWN_MONEY' .. flow, 1)
  end
  if offset >= feed_position then
    redis.call('XADD', prefix .. 'feed', 'MAXLEN', '~', feed_length, '*', 'm', raw)
  end
  return 1
end

local function models(record)
  local segmentation, field, document = unpack(record, 2, 4)
  if not field then
    redis.call('SREM', root .. 'segmentations', segmentation)
    redis.call('DEL', root .. 'figures:' .. segmentation, root .. 't:' .. segmentation)
    return redis.call('DEL', root .. 'models:' .. segmentation)
  end
  redis.call('HSET', root .. 'models:' .. segmentation, field, document)
  redis.call('SADD', root .. 'segmentations', segmentation)
  return 1
end

local function figures(record)
  local segmentation, number, document, day, totals = unpack(record, 2, 6)
  local key = root .. 'figures:' .. segmentation
  if not document then return redis.call('HDEL', key, number) end
  redis.call('HSET', key, number, document)
  redis.call('HSET', root .. 't:' .. segmentation, day .. '/' .. number, totals)
  return 1
end

local function refused(record)
  local reason, day, at, example = unpack(record, 2, 5)
  local expires = math.floor(at / 1000) + REFUSED_SECONDS
  if expires <= tonumber(ARGV[7]) / 1000 then return 0 end
  local key, examples = root .. 'r:' .. day, root .. 'x:' .. reason
  redis.call('HINCRBY', key, reason, 1)
  redis.call('EXPIREAT', key, expires)
  redis.call('LPUSH', examples, example)
  redis.call('LTRIM', examples, 0, REFUSED_EXAMPLES - 1)
  redis.call('EXPIREAT', examples, expires)
  return 1
end

-- a sample from before an erasure may hold the customer; of a partition there is another one at the next tick
local function samples(record)
  if record[4] <= tonumber(redis.call('HGET', root .. 'forgot', record[2]) or 0) then return 0 end
  redis.call('HSET', root .. 'buyers', record[2], record[3])
  return 1
end

local take = ({
  memberships = memberships, migrations = migrations, models = models, figures = figures, upcoming = upcoming,
  refused = refused, samples = samples
})[kind]
for _, record in ipairs(cmsgpack.unpack(ARGV[10])) do
  if record[1] >= position then written = written + take(record) end
end
if tonumber(next_offset) > position then
  redis.call('HSET', root .. 'position', field, next_offset, 'at', ARGV[7])
end
if kind == 'migrations' and tonumber(next_offset) > feed_position then
  redis.call('HSET', prefix .. 'feed:position', partition, next_offset)
end
if pointed ~= generation then redis.call('PEXPIRE', root .. 'building', BUILDING) end
return {'OK', written}
""".replace("UNPAIRED", str(UNPAIRED_SECONDS))
    .replace("BUILDING)", f"{BUILDING_MS})")
    .replace("UNKNOWN_MONEY", UNKNOWN_MONEY)
    .replace("REFUSED_SECONDS", str((REFUSED_DAYS + 1) * DAY_MS // SECOND_MS))
    .replace("REFUSED_EXAMPLES", str(REFUSED_EXAMPLES))
)
"""prefix, generation, kind, partition, first offset, next offset, now (ms), feed length, length of a
customer's history, records as MessagePack."""

BEAT: Final = (
    _WRITABLE
    + f"""
if redis.call('EXISTS', root .. 'position') == 0 then return {{'MOVED', 0}} end
redis.call('HSET', root .. 'position', 'at', ARGV[3])
redis.call('HSET', root .. 'told', 'follower', ARGV[4])
if pointed ~= generation then redis.call('PEXPIRE', root .. 'building', {BUILDING_MS}) end
return {{'OK', 0}}
"""
)
"""prefix, generation, now (ms), what the follower tells of itself."""

BEGIN: Final = f"""
local prefix, generation, at = ARGV[1], ARGV[2], ARGV[3]
local root = prefix .. generation .. ':'
redis.call('SET', root .. 'building', '1', 'PX', {BUILDING_MS})
redis.call('SADD', prefix .. 'generations', generation)
for i = 5, #ARGV do redis.call('HSET', root .. 'position', ARGV[i], 0) end
redis.call('HSET', root .. 'position', 'at', at, 'form', ARGV[4])
local pointed = redis.call('GET', prefix .. 'generation')
if pointed then  -- the topics keep the newest model and figures alone
  local old = prefix .. pointed .. ':'
  for _, segmentation in ipairs(redis.call('SMEMBERS', old .. 'segmentations')) do
    redis.call('COPY', old .. 'models:' .. segmentation, root .. 'models:' .. segmentation)
    redis.call('COPY', old .. 't:' .. segmentation, root .. 't:' .. segmentation)
    redis.call('SADD', root .. 'segmentations', segmentation)
  end
  redis.call('COPY', old .. 'buyers', root .. 'buyers')
end
return {{'OK', 0}}
"""
"""prefix, generation, now (ms), form, fields of the position."""

SWAP: Final = """
local prefix, generation = ARGV[1], ARGV[2]
local root = prefix .. generation .. ':'
if redis.call('EXISTS', root .. 'building') == 0 then return {'MOVED', 0} end
local pointed = redis.call('GET', prefix .. 'generation')
if pointed then
  local old = redis.call('HGETALL', prefix .. pointed .. ':position')
  for i = 1, #old, 2 do
    local is_place = old[i] ~= 'at' and old[i] ~= 'form'
    if is_place and tonumber(old[i + 1]) > tonumber(redis.call('HGET', root .. 'position', old[i]) or 0) then
      return {'BEHIND', 0}
    end
  end
end
redis.call('SET', prefix .. 'generation', generation)
redis.call('DEL', root .. 'building', prefix .. 'handover')
return {'OK', 0}
"""
"""prefix, generation."""
