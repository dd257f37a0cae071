-- Put an owner's mark on partitions, and tell which other owners left theirs behind.
-- One step, so that of two workers which take a partition over one after the other only the first is told of
-- the mark before it: the second finds the first one's.
--
-- KEYS  1 meta   2 working of a role
-- ARGV  1 epoch  2 owner  3, 4, ... partitions
-- Returns partition and noted record ('' if there is none) in turn, for each mark of another owner; nil if
-- the store is not ours.
if not ours(KEYS[1], ARGV[1]) then return false end
local left_behind = {}
for i = 3, #ARGV do
  local holder = redis.call('HGET', KEYS[2], ARGV[i])
  if holder and holder ~= ARGV[2] then
    left_behind[#left_behind + 1] = ARGV[i]
    left_behind[#left_behind + 1] = noted(ARGV[i]) or ''
  end
  redis.call('HSET', KEYS[2], ARGV[i], ARGV[2])
  excuse(ARGV[i], ARGV[2])
end
return left_behind
