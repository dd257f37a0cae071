-- Append a batch to a shard, if the shard's watermark is the expected one, and delete what it takes the place of.
-- One step, so that entries, watermark and number of rows can't disagree: a batch is in once or not at all,
-- however often its append is repeated, and whoever lost the partition is refused. And one item of the stream, so
-- that no reader sees a text and the one that it replaces, or neither.
--
-- A step replaces a bounded number of entries. If there are more, a batch of several records is to be sent record
-- by record. One record alone goes on step by step, as a deletion does: what is found is kept as a numbered part,
-- the watermark stays, and the caller asks again. If it never does, what passes that record takes the parts along.
--
-- KEYS  1 state  2 stream  3 keys  4 pending  5 parts  6 sizes  7 holds  8 recent
-- ARGV  1 expected watermark  2 new watermark  3 id of the stream item  4 number of entries
--       5 epoch  6 anchor of the last record, or ''  7 entries  8 vectors
--       9 how keyed texts are taken in, or '' if that is not said
--       10 deletion of what is replaced, or '' if nothing is  11 '1' if the store's format allows for it, or ''
--       12 at most how many entries are replaced  13 '1' if the batch is one record alone, or ''
--       14 positions that the batch itself has replaced (8 bytes each)  15 by which position each of them
--       16 positions of entries that are replaced, as another store has replaced them  17 by which each of them
--       18 number of keys whose entries are replaced, then for each of them:
--          what its members of keys begin with, position that replaces them (8 bytes)
--       then the number of contexts, and for each of them:
--         name, rows, bytes, first offset, member of holds
--       and at the end for each entry that came under a record key: 0 and its member of keys
-- Returns {1, watermark, rows, epoch, number of entries replaced} after the append, {2, ...} if more is to come;
-- {0, watermark, rows, epoch} as the shard stands if it was refused, {3, ...} if the batch must be sent record by
-- record, {4, ...} if the store's format must be raised first.
local watermark, rows, epoch, begun, replacing, modes, followed =
  unpack(redis.call('HMGET', KEYS[1], 'watermark', 'rows', 'epoch', 'deleting', 'replacing', 'modes', 'followed'))
local expected, new, id, count, ours, anchor = unpack(ARGV, 1, 6)
local mode, deletion, allowed, most, alone, overtaken, overtaken_by, taken, taken_by, keys =
  unpack(ARGV, 9, 18)
if (watermark or '-1') ~= expected or epoch ~= ours then return {0, watermark, rows, epoch} end

-- What is replaced: members of keys, and by which position.
local members, by_position = {}, {}
local at = 19
most = tonumber(most)
for i = at, at + 2 * tonumber(keys) - 1, 2 do
  local from = '[' .. ARGV[i]
  local room = most + 1 - #members
  for _, member in ipairs(redis.call('ZRANGEBYLEX', KEYS[3], from, from .. '\255', 'LIMIT', 0, room)) do
    members[#members + 1] = member
    by_position[#members] = ARGV[i + 1]
  end
  if #members > most then break end
end
at = at + 2 * tonumber(keys)
local passes = replacing and tonumber(replacing) <= tonumber(new)
if (#members > 0 or overtaken ~= '' or taken ~= '' or passes) and allowed == '' then return {4, watermark, rows, epoch} end
if #members > most and alone == '' then return {3, watermark, rows, epoch} end

-- An entry is deleted once only, by whichever record comes first: see delete.lua. So what a deletion took before
-- is left out here.
local targets, by = {}, {}
local function take(target, by_which)
  if #redis.call('ZRANGEBYLEX', KEYS[4], '[' .. target, '[' .. target .. '\255', 'LIMIT', 0, 1) == 0 then
    redis.call('ZADD', KEYS[4], 0, target .. by_which)
    targets[#targets + 1] = target
    by[#by + 1] = by_which
  end
end
local function replace(from, to)
  for i = from, to do take(string.sub(members[i], -8), by_position[i]) end
  if to >= from then redis.call('ZREM', KEYS[3], unpack(members, from, to)) end
end

if #members > most then
  replace(1, most)
  local name = replacing or new
  local part = redis.call('HINCRBY', KEYS[5], name, 1)
  redis.call('HSET', KEYS[5], name .. '/' .. part, table.concat(targets))
  if not replacing then
    redis.call('HSET', KEYS[5], 'replacement', deletion)
    redis.call('HSET', KEYS[1], 'replacing', new)
  end
  return {2, watermark, rows, ours, #targets}
end
replace(1, #members)
for i = 1, #taken, 8 do take(string.sub(taken, i, i + 7), string.sub(taken_by, i, i + 7)) end
local replaced = #targets

-- A deletion at the new watermark itself: its record was put aside, and this batch only goes past it. The
-- deletion takes the id "new + 1"-0 in the stream, so the entries, which come before it, take the one below.
if begun == new then id = new .. '-0' end
if begun and tonumber(begun) < tonumber(new) then finish(begun, rows, ours) end

local parts = '0'
if passes then deletion, parts = take_parts(replacing) end
local fields = {'row', rows or '0', 'epoch', ours}
local function add(...)
  for _, field in ipairs({...}) do fields[#fields + 1] = field end
end
if count ~= '0' then add('entries', ARGV[7], 'vectors', ARGV[8]) end
if replaced > 0 or overtaken ~= '' or parts ~= '0' then
  targets[#targets + 1], by[#by + 1] = overtaken, overtaken_by
  add('format', '3', 'deletion', deletion, 'targets', table.concat(targets), 'by', table.concat(by), 'parts', parts)
end
if #fields > 4 then redis.call('XADD', KEYS[2], id, unpack(fields)) end
if begun == new then finish(begun, rows, ours) end

local contexts = tonumber(ARGV[at])
at = at + 1
for _ = 1, contexts do
  local name, held, bytes, first, member = unpack(ARGV, at, at + 4)
  redis.call('HINCRBY', KEYS[6], name .. '/rows', held)
  redis.call('HINCRBY', KEYS[6], name .. '/bytes', bytes)
  redis.call('HSETNX', KEYS[6], name .. '/first', first)
  redis.call('ZADD', KEYS[7], 0, member)
  at = at + 5
end
-- At most 1,000 arguments a command, since Lua's unpack is limited by its stack.
for i = at, #ARGV, 1000 do redis.call('ZADD', KEYS[3], unpack(ARGV, i, math.min(i + 999, #ARGV))) end
-- Another generation is filled from this shard: it asks by offset under which key an entry came.
if followed then
  for i = at + 1, #ARGV, 2 do
    redis.call('ZADD', KEYS[8], 0, string.sub(ARGV[i], -8) .. string.sub(ARGV[i], 1, 16))
  end
end

-- From which position on keyed texts were taken in how: "0:append 4711:upsert". Append goes without saying.
if mode ~= '' and mode ~= (string.match(modes or '', '(%a+)$') or 'append') then
  local since = string.format('%d:%s', tonumber(expected) + 1, mode)
  redis.call('HSET', KEYS[1], 'modes', modes and modes .. ' ' .. since or since)
end
redis.call('HSET', KEYS[1], 'watermark', new)
if anchor ~= '' then redis.call('HSET', KEYS[1], 'anchor', anchor) end
return {1, new, redis.call('HINCRBY', KEYS[1], 'rows', count), ours, replaced}
