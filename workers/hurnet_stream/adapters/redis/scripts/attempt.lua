-- Note that an owner is about to handle a record alone, and count the owners that have noted it.
-- One step, so that every try is counted, and an owner that tries again is counted once.
--
-- KEYS  1 meta   2 working of a role
-- ARGV  1 epoch  2 owner  3 partition  4 record
-- Returns how many owners have noted this record since another one was noted; nil if the store is not ours.
if not ours(KEYS[1], ARGV[1]) then return false end
local owner, partition, wanted = ARGV[2], ARGV[3], ARGV[4]
local record, count, by = noted(partition)
if record ~= wanted then count, by = 0, '' end
if by ~= owner then count = count + 1 end
note(partition, wanted, count, owner)
return tonumber(count)
