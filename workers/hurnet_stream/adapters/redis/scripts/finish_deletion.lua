-- Shared: finish(offset, rows, epoch) appends to the stream the deletion at `offset` that was begun and not
-- ended. Its record will not come again (retention or compaction took it, or ingest put it aside). So what
-- comes next in the shard ends it: readers must learn what was deleted before any of it is erased.
-- KEYS as in append.lua.
local function finish(offset, rows, epoch)
  local id, deletion, parts = unpack(redis.call('HMGET', KEYS[5], 'id', 'deletion', offset))
  redis.call('XADD', KEYS[2], id, 'row', rows or '0', 'epoch', epoch,
    'deletion', deletion, 'targets', '', 'parts', parts)
  redis.call('HDEL', KEYS[1], 'deleting')
  redis.call('HDEL', KEYS[5], 'id', 'deletion')
end
