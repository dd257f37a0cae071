-- Begin a shard in its own slot: give it the store's epoch, if it stands as it did before the store was asked.
-- One step, so that a worker of a store that is gone, which wakes up late, can't take the shard back.
--
-- What another store has left there (a cluster lost that store's meta in a failover, and it was begun anew) is put
-- aside under other names, since it may be more than its log still holds.
--
-- KEYS  1 the shard's state, then its other keys   and as many others: where each goes that another store has left
-- ARGV  1 epoch  2 the epoch that was there before, or ''
-- Returns 1 if the shard was begun, 0 if not.
local now = redis.call('HGET', KEYS[1], 'epoch') or ''
if now == ARGV[1] or now ~= ARGV[2] then return 0 end
if now ~= '' then
  for i = 1, #KEYS / 2 do
    if redis.call('EXISTS', KEYS[i]) == 1 then redis.call('RENAME', KEYS[i], KEYS[#KEYS / 2 + i]) end
  end
end
return redis.call('HSET', KEYS[1], 'epoch', ARGV[1])
