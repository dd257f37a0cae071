"""What the server does in one step. A shard moves on only where its watermark is as expected.

Every script compares the context's epoch first, so that nothing is written to a store that holds another
context, or none: one that was emptied, or took the address of ours. A shard carries the epoch itself, since
BEGIN, so that what appends need not look beyond its own keys: state, stream, keys, pending, parts, sizes and
holds, in this order.
"""

from __future__ import annotations

from typing import Final

OURS: Final = """
local function ours(key, epoch)
  local read, meta = pcall(cjson.decode, redis.call('GET', key) or '')
  return read and type(meta) == 'table' and meta.epoch == epoch
end
"""
BEGIN: Final = (
    OURS
    + """
if not ours(KEYS[1], ARGV[1]) then return 0 end
redis.call('SADD', KEYS[2], ARGV[2])
return redis.call('HSETNX', KEYS[3], 'epoch', ARGV[1])
"""
)
BIND: Final = (
    OURS
    + """
if not ours(KEYS[1], ARGV[1]) then return false end
redis.call('SETNX', KEYS[2], ARGV[2])
return redis.call('GET', KEYS[2])
"""
)
REMEMBER: Final = (
    OURS
    + """
if not ours(KEYS[1], ARGV[1]) then return 0 end
for i = 2, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
return 1
"""
)
# A deletion was begun, and its record will not come again (retention or compaction took it): what follows it
# in the shard ends it, so that readers learn what was deleted before anything is erased.
_FINISH: Final = """
local function finish(offset, rows, ours)
  local id, deletion, count = unpack(redis.call('HMGET', KEYS[5], 'id', 'deletion', offset))
  redis.call('XADD', KEYS[2], id, 'row', rows or '0', 'epoch', ours,
    'deletion', deletion, 'targets', '', 'parts', count)
  redis.call('HDEL', KEYS[1], 'deleting')
  redis.call('HDEL', KEYS[5], 'id', 'deletion')
end
"""
APPEND: Final = (
    _FINISH
    + """
local watermark, rows, epoch = unpack(redis.call('HMGET', KEYS[1], 'watermark', 'rows', 'epoch'))
local expected, new, id, count, ours, anchor = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
if (watermark or '-1') ~= expected or epoch ~= ours then return {0, watermark, rows, epoch} end
local begun = redis.call('HGET', KEYS[1], 'deleting')
if begun == new then id = new .. '-0' end  -- its record is put aside now: what is left comes before it
if begun and tonumber(begun) < tonumber(new) then finish(begun, rows, ours) end
if count ~= '0' then
  redis.call('XADD', KEYS[2], id, 'row', rows or '0', 'epoch', ours, 'entries', ARGV[7], 'vectors', ARGV[8])
end
if begun == new then finish(begun, rows, ours) end
local at = 10
for _ = 1, tonumber(ARGV[9]) do
  local name, held, bytes, first, member = unpack(ARGV, at, at + 4)
  redis.call('HINCRBY', KEYS[6], name .. '/rows', held)
  redis.call('HINCRBY', KEYS[6], name .. '/bytes', bytes)
  redis.call('HSETNX', KEYS[6], name .. '/first', first)
  redis.call('ZADD', KEYS[7], 0, member)
  at = at + 5
end
for i = at, #ARGV, 1000 do redis.call('ZADD', KEYS[3], unpack(ARGV, i, math.min(i + 999, #ARGV))) end
redis.call('HSET', KEYS[1], 'watermark', new)
if anchor ~= '' then redis.call('HSET', KEYS[1], 'anchor', anchor) end
return {1, new, redis.call('HINCRBY', KEYS[1], 'rows', count), ours}
"""
)
DELETE: Final = (
    _FINISH
    + """
local watermark, rows, epoch = unpack(redis.call('HMGET', KEYS[1], 'watermark', 'rows', 'epoch'))
local expected, new, id, ours, anchor, deletion, record = unpack(ARGV, 1, 7)
local from, to, most, more, dropped, absent, members = unpack(ARGV, 8, 14)
if (watermark or '-1') ~= expected or epoch ~= ours then return {0, watermark, rows, epoch} end
local begun = redis.call('HGET', KEYS[1], 'deleting')
if begun and tonumber(begun) < tonumber(new) then finish(begun, rows, ours) end
local targets = {absent}
local function target(offset)  -- deleted once only: the solver takes out what it finds among the targets
  local range = {'[' .. offset, '[' .. offset .. string.rep('\255', 8), 'LIMIT', 0, 1}
  if #redis.call('ZRANGEBYLEX', KEYS[4], unpack(range)) == 0 then
    redis.call('ZADD', KEYS[4], 0, offset .. record)
    targets[#targets + 1] = offset
  end
end
for i = 15 + tonumber(members), #ARGV do target(ARGV[i]) end
for i = 15, 14 + tonumber(members) do redis.call('ZREM', KEYS[7], ARGV[i]) end
if from ~= '' then
  local found = redis.call('ZRANGEBYLEX', KEYS[3], from, to, 'LIMIT', 0, most)
  for _, member in ipairs(found) do target(string.sub(member, -8)) end
  if #found > 0 then redis.call('ZREM', KEYS[3], unpack(found)) end
  if #found == tonumber(most) then more = '1' end
end
if more ~= '' then
  local part = redis.call('HINCRBY', KEYS[5], new, 1)
  redis.call('HSET', KEYS[5], new .. '/' .. part, table.concat(targets), 'id', id, 'deletion', deletion)
  redis.call('HSET', KEYS[1], 'deleting', new)
  return {2, watermark, rows, ours}
end
redis.call('XADD', KEYS[2], id, 'row', rows or '0', 'epoch', ours, 'deletion', deletion,
  'targets', table.concat(targets), 'parts', redis.call('HGET', KEYS[5], new) or '0')
if dropped ~= '' then redis.call('HDEL', KEYS[6], dropped .. '/first') end
redis.call('HDEL', KEYS[1], 'deleting')
redis.call('HDEL', KEYS[5], 'id', 'deletion')
redis.call('HSET', KEYS[1], 'watermark', new)
if anchor ~= '' then redis.call('HSET', KEYS[1], 'anchor', anchor) end
return {1, new, rows or '0', ours}
"""
)
ADMIT: Final = (
    OURS
    + """
if not ours(KEYS[2], ARGV[2]) then return false end
local admitted = {}
for i = 3, #ARGV do
  if redis.call('SISMEMBER', KEYS[1], ARGV[i]) == 1 then
    admitted[#admitted + 1] = ARGV[i]
  elseif redis.call('SCARD', KEYS[1]) < tonumber(ARGV[1]) then
    redis.call('SADD', KEYS[1], ARGV[i])
    admitted[#admitted + 1] = ARGV[i]
  end
end
return admitted
"""
)
# Gives a context's name back if no shard holds a row of it: keys are the set of contexts, the meta, then
# each shard's sizes.
RELEASE: Final = (
    OURS
    + """
if not ours(KEYS[2], ARGV[2]) then return false end
local name = ARGV[1]
for i = 3, #KEYS do
  if tonumber(redis.call('HGET', KEYS[i], name .. '/rows') or '0') > 0 then return 0 end
end
for i = 3, #KEYS do redis.call('HDEL', KEYS[i], name .. '/rows', name .. '/bytes', name .. '/first') end
return redis.call('SREM', KEYS[1], name)
"""
)
# Who has which partition in hand (`hurnet/suspects.py`). ARGV: epoch, owner.
_EXCUSE: Final = """
local function noted(partition)
  local note = redis.call('HGET', KEYS[2], partition .. '/record') or ''
  return string.match(note, '^(%S+) (%d+) (%S*)$')
end
local function note(partition, record, count, owner)
  redis.call('HSET', KEYS[2], partition .. '/record', string.format('%s %d %s', record, count, owner))
end
local function excuse(partition, owner)
  local record, count, by = noted(partition)
  if not record or by ~= owner then return end
  if tonumber(count) > 1 then note(partition, record, count - 1, '')
  else redis.call('HDEL', KEYS[2], partition .. '/record') end
end
"""
ENTER: Final = (
    OURS
    + _EXCUSE
    + """
if not ours(KEYS[1], ARGV[1]) then return false end
local left = {}
for i = 3, #ARGV do
  local holder = redis.call('HGET', KEYS[2], ARGV[i])
  if holder and holder ~= ARGV[2] then
    left[#left + 1] = ARGV[i]
    left[#left + 1] = noted(ARGV[i]) or ''
  end
  redis.call('HSET', KEYS[2], ARGV[i], ARGV[2])
  excuse(ARGV[i], ARGV[2])
end
return left
"""
)
LEAVE: Final = (
    OURS
    + _EXCUSE
    + """
if not ours(KEYS[1], ARGV[1]) then return false end
for i = 3, #ARGV do
  if redis.call('HGET', KEYS[2], ARGV[i]) == ARGV[2] then redis.call('HDEL', KEYS[2], ARGV[i]) end
  excuse(ARGV[i], ARGV[2])
end
return 1
"""
)
ATTEMPT: Final = (
    OURS
    + _EXCUSE
    + """
if not ours(KEYS[1], ARGV[1]) then return false end
local owner, partition, wanted = ARGV[2], ARGV[3], ARGV[4]
local record, count, by = noted(partition)
if record ~= wanted then count, by = 0, '' end
if by ~= owner then count = count + 1 end
note(partition, wanted, count, owner)
return tonumber(count)
"""
)
