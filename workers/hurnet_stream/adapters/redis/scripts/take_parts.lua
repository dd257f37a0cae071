-- Shared: take_parts(offset) is the deletion of a replacement that was begun at `offset` and not ended, and how many
-- parts it has: the item that is about to be appended ends it. KEYS as in append.lua.
local function take_parts(offset)
  local deletion, parts = unpack(redis.call('HMGET', KEYS[5], 'replacement', offset))
  redis.call('HDEL', KEYS[1], 'replacing')
  redis.call('HDEL', KEYS[5], 'replacement')
  return deletion, parts
end
