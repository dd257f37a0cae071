-- List a shard among those that there are. On a cluster it has a slot of its own, so that it is begun in a second step.
-- One step, so that no shard is listed in a store that is not ours.
--
-- KEYS  1 meta   2 shards
-- ARGV  1 epoch  2 partition
-- Returns 1, or nil if the store is not ours.
if not ours(KEYS[1], ARGV[1]) then return false end
redis.call('SADD', KEYS[2], ARGV[2])
return 1
