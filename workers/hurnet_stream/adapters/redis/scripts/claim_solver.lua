-- Make an owner the only solver that may write.
-- One step, so that no solver takes the role in a store that was begun anew under it.
--
-- KEYS  1 owner of the solver's role  2 meta
-- ARGV  1 owner  2 epoch, or '' if this process has opened no store
-- Returns 1, or nil if the store is not ours.
if ARGV[2] ~= '' and not ours(KEYS[2], ARGV[2]) then return false end
redis.call('SET', KEYS[1], ARGV[1])
return 1
