-- Tell which commands the user of this connection may not run. Nothing is read or written.
-- One step, so that all that is missing is told at once.
--
-- KEYS  1 none: EVAL would ask for the right to each of them itself
-- ARGV  1 JSON: a list of commands, each a list of all its words
-- Returns the numbers of those that are forbidden, counted from 1; nil if the server can't tell.
if not redis.acl_check_cmd then return false end
local lacking = {}
for i, words in ipairs(cjson.decode(ARGV[1])) do
  if not redis.acl_check_cmd(unpack(words)) then lacking[#lacking + 1] = i end
end
return lacking
