-- Append a batch to a shard, if the shard's watermark is the expected one.
-- One step, so that entries, watermark and number of rows can't disagree: a batch is in once or not at all,
-- however often its append is repeated, and whoever lost the partition is refused.
--
-- KEYS  1 state  2 stream  3 keys  4 pending  5 parts  6 sizes  7 holds
-- ARGV  1 expected watermark  2 new watermark  3 id of the stream item  4 number of entries
--       5 epoch  6 anchor of the last record, or ''  7 entries  8 vectors
--       9 number of contexts, then for each of them:
--         name, rows, bytes, first offset, member of holds
--       and at the end for each entry that came under a record key: 0 and its member of keys
-- Returns {1, watermark, rows, epoch} after the append, or {0, ...} as the shard stands if it was refused.
local watermark, rows, epoch = unpack(redis.call('HMGET', KEYS[1], 'watermark', 'rows', 'epoch'))
local expected, new, id, count, ours, anchor = unpack(ARGV, 1, 6)
if (watermark or '-1') ~= expected or epoch ~= ours then return {0, watermark, rows, epoch} end

-- A deletion at the new watermark itself: its record was put aside, and this batch only goes past it. The
-- deletion takes the id "new + 1"-0 in the stream, so the entries, which come before it, take the one below.
local begun = redis.call('HGET', KEYS[1], 'deleting')
if begun == new then id = new .. '-0' end
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
-- At most 1,000 arguments a command, since Lua's unpack is limited by its stack.
for i = at, #ARGV, 1000 do redis.call('ZADD', KEYS[3], unpack(ARGV, i, math.min(i + 999, #ARGV))) end

redis.call('HSET', KEYS[1], 'watermark', new)
if anchor ~= '' then redis.call('HSET', KEYS[1], 'anchor', anchor) end
return {1, new, redis.call('HINCRBY', KEYS[1], 'rows', count), ours}
