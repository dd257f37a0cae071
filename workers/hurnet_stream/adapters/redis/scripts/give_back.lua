-- Give the name of a context back, if no shard holds a row of it.
-- One step, so that no append to the context comes between the look at the shards and the removal.
--
-- KEYS  1 contexts  2 meta   3, 4, ... sizes of each shard
-- ARGV  1 name      2 epoch
-- Returns 1 if the name was given back, 0 if not, nil if the store is not ours.
if not ours(KEYS[2], ARGV[2]) then return false end
local name = ARGV[1]
for i = 3, #KEYS do
  if tonumber(redis.call('HGET', KEYS[i], name .. '/rows') or '0') > 0 then return 0 end
end
for i = 3, #KEYS do redis.call('HDEL', KEYS[i], name .. '/rows', name .. '/bytes', name .. '/first') end
return redis.call('SREM', KEYS[1], name)
