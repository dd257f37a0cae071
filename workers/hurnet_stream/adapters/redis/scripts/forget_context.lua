-- Forget what a shard has counted of a context, of which it holds no row.
-- One step, so that rows that come in meanwhile stay counted.
--
-- KEYS  1 the shard's sizes
-- ARGV  1 name
-- Returns 1 if it was forgotten, 0 if there are rows.
local name = ARGV[1]
if tonumber(redis.call('HGET', KEYS[1], name .. '/rows') or '0') > 0 then return 0 end
redis.call('HDEL', KEYS[1], name .. '/rows', name .. '/bytes', name .. '/first')
return 1
