"""What the server does in one step. A shard moves on only where its watermark is as expected.

Every script compares the context's epoch first, so that nothing is written to a store that holds another
context, or none: one that was emptied, or took the address of ours. A shard carries the epoch itself, since
BEGIN, so that what appends need not look beyond its own keys.
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
APPEND: Final = """
local watermark, rows, epoch = unpack(redis.call('HMGET', KEYS[1], 'watermark', 'rows', 'epoch'))
local expected, new, id, count, ours, anchor = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
if (watermark or '-1') ~= expected or epoch ~= ours then return {0, watermark, rows, epoch} end
if count ~= '0' then
  redis.call('XADD', KEYS[2], id, 'row', rows or '0', 'epoch', ours, 'entries', ARGV[7], 'vectors', ARGV[8])
end
for i = 9, #ARGV, 1000 do redis.call('ZADD', KEYS[3], unpack(ARGV, i, math.min(i + 999, #ARGV))) end
redis.call('HSET', KEYS[1], 'watermark', new)
if anchor ~= '' then redis.call('HSET', KEYS[1], 'anchor', anchor) end
return {1, new, redis.call('HINCRBY', KEYS[1], 'rows', count), ours}
"""
DELETE: Final = """
local watermark, rows, epoch = unpack(redis.call('HMGET', KEYS[1], 'watermark', 'rows', 'epoch'))
local expected, new, id, ours, anchor, deletion, key = unpack(ARGV, 1, 7)
if (watermark or '-1') ~= expected or epoch ~= ours then return {0, watermark, rows, epoch} end
local targets = {}
local function target(offset)  -- deleted once only: the solver takes out what it finds among the targets
  if redis.call('HSETNX', KEYS[4], offset, new) == 1 then targets[#targets + 1] = offset end
end
for i = 8, #ARGV do target(ARGV[i]) end
if key ~= '' then
  local from, to = '[' .. key, '[' .. key .. string.rep('\255', 8)
  for _, member in ipairs(redis.call('ZRANGEBYLEX', KEYS[3], from, to)) do target(string.sub(member, -8)) end
  redis.call('ZREMRANGEBYLEX', KEYS[3], from, to)
end
redis.call('XADD', KEYS[2], id, 'row', rows or '0', 'epoch', ours,
  'deletion', deletion, 'targets', table.concat(targets))
redis.call('HSET', KEYS[1], 'watermark', new)
if anchor ~= '' then redis.call('HSET', KEYS[1], 'anchor', anchor) end
return {1, new, rows or '0', ours}
"""
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
