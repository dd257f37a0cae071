-- Put the mix of a context in force, or withdraw it, unless another responder was quicker.
-- One step, so that of two responders that learned from the same pairs one publishes.
--
-- The mix that is replaced is kept for a while, unless it has learned what is forgotten since.
--
-- KEYS  1 mix-versions  2 mixes  3 meta  4 mixes-before of the context
-- ARGV  1 context  2 version  3 the mix, as JSON, or '' to withdraw it
--       4 epoch, or '' if this process has opened no store  5 how many mixes are kept
-- Returns the last version before, or nil if the store is not ours.
if ARGV[4] ~= '' and not ours(KEYS[3], ARGV[4]) then return false end
local last = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '0')
-- What is no version is 0, so that the next mix can replace it.
if not last or last ~= last or last < 0 or last >= 2^53 or last % 1 ~= 0 then last = 0 end
if last == tonumber(ARGV[2]) - 1 then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  local oldest = last - tonumber(ARGV[5])
  if ARGV[3] == '' then
    redis.call('HDEL', KEYS[2], ARGV[1])
    redis.call('HDEL', KEYS[4], 'learned')
    for version = oldest, last do redis.call('HDEL', KEYS[4], string.format('%d', version)) end
  else
    local old = redis.call('HGET', KEYS[2], ARGV[1])
    local learned = tonumber(redis.call('HGET', KEYS[4], 'learned') or '0') or 0
    if old and last > learned then redis.call('HSET', KEYS[4], string.format('%d', last), old) end
    redis.call('HDEL', KEYS[4], string.format('%d', oldest))
    redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
  end
end
return last
