-- Shared: forbidden(commands, key) is the first of these commands that the user of this connection may not run on
-- the key, nil if there is none, or if the server can't tell (before Redis 7). A script that is refused a command in
-- its middle is not rolled back: a batch would stay in the stream without its watermark. So each script asks first.
-- Redis 7.0 crashes if it is asked of SET or EVAL without arguments, so there are always some: the key, because
-- DEL takes all of them for keys.
local function forbidden(commands, key)
  if not redis.acl_check_cmd then return nil end
  for _, command in ipairs(commands) do
    if not redis.acl_check_cmd(command, key, key, key) then return command end
  end
end
