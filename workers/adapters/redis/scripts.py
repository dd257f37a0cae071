"""What the server does in one step. A shard moves on only where its watermark is as expected."""

from __future__ import annotations

from typing import Final

APPEND: Final = """
local watermark, rows, epoch = unpack(redis.call('HMGET', KEYS[1], 'watermark', 'rows', 'epoch'))
local expected, new, id, count, ours = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
if (watermark or '-1') ~= expected or (epoch or ours) ~= ours then return {0, watermark, rows, epoch} end
if count ~= '0' then
  redis.call('XADD', KEYS[2], id, 'row', rows or '0', 'epoch', ours, 'entries', ARGV[6], 'vectors', ARGV[7])
end
for i = 8, #ARGV, 1000 do redis.call('ZADD', KEYS[3], unpack(ARGV, i, math.min(i + 999, #ARGV))) end
redis.call('HSET', KEYS[1], 'watermark', new, 'epoch', ours)
return {1, new, redis.call('HINCRBY', KEYS[1], 'rows', count), ours}
"""
DELETE: Final = """
local watermark, rows, epoch = unpack(redis.call('HMGET', KEYS[1], 'watermark', 'rows', 'epoch'))
local expected, new, id, ours, deletion, key = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
if (watermark or '-1') ~= expected or (epoch or ours) ~= ours then return {0, watermark, rows, epoch} end
local targets = {}
local function target(offset)  -- deleted once only: the solver takes out what it finds among the targets
  if redis.call('HSETNX', KEYS[4], offset, new) == 1 then targets[#targets + 1] = offset end
end
for i = 7, #ARGV do target(ARGV[i]) end
if key ~= '' then
  local from, to = '[' .. key, '[' .. key .. string.rep('\255', 8)
  for _, member in ipairs(redis.call('ZRANGEBYLEX', KEYS[3], from, to)) do target(string.sub(member, -8)) end
  redis.call('ZREMRANGEBYLEX', KEYS[3], from, to)
end
redis.call('XADD', KEYS[2], id, 'row', rows or '0', 'epoch', ours,
  'deletion', deletion, 'targets', table.concat(targets))
redis.call('HSET', KEYS[1], 'watermark', new, 'epoch', ours)
return {1, new, rows or '0', ours}
"""
ADMIT: Final = """
local admitted = {}
for i = 2, #ARGV do
  if redis.call('SISMEMBER', KEYS[1], ARGV[i]) == 1 then
    admitted[#admitted + 1] = ARGV[i]
  elseif redis.call('SCARD', KEYS[1]) < tonumber(ARGV[1]) then
    redis.call('SADD', KEYS[1], ARGV[i])
    admitted[#admitted + 1] = ARGV[i]
  end
end
return admitted
"""
