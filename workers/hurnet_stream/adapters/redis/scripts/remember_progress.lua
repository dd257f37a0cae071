-- Keep what a consumer group has committed.
-- One step, so that offsets of one store's log are never kept in another store.
--
-- KEYS  1 meta   2 progress of the group
-- ARGV  1 epoch  2, 3, ... partition and "OFFSET NOTE" in turn
-- Returns 1, or nil if the store is not ours.
if not ours(KEYS[1], ARGV[1]) then return false end
for i = 2, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
return 1
