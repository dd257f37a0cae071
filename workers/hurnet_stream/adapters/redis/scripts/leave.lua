-- Take an owner's marks off partitions that it lets go of with nothing in hand.
-- One step, so that the mark of a worker which has taken over in between stays.
--
-- KEYS  1 meta   2 working of a role
-- ARGV  1 epoch  2 owner  3, 4, ... partitions
-- Returns 1, or nil if the store is not ours.
if not ours(KEYS[1], ARGV[1]) then return false end
for i = 3, #ARGV do
  if redis.call('HGET', KEYS[2], ARGV[i]) == ARGV[2] then redis.call('HDEL', KEYS[2], ARGV[i]) end
  excuse(ARGV[i], ARGV[2])
end
return 1
