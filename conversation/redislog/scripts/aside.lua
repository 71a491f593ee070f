-- ARGV 6 prefix of the new names 7 counter 8 nonce of the log that was found
--      damaged, '' where they could not be read
-- Returns OK keys moved. One step, so that nobody reads half a log: afterwards
-- it is missing, and is made anew as any that was lost. What is neither that
-- log nor broken by a key of a foreign kind has been made anew already.
local kinds, foreign, n = {'hash', 'stream', 'string', 'list', 'string'}, false, 0
for i, kind in ipairs(kinds) do
  local have = redis.call('TYPE', KEYS[i]).ok
  foreign = foreign or have ~= 'none' and have ~= kind
end
if not foreign then
  local m = redis.call('HMGET', KEYS[1], 'c', 'n')
  if m[1] ~= ARGV[7] or m[2] ~= ARGV[8] then return {'OK', '0'} end
end
for i, name in ipairs({'m', 'l', 'p', 't', 'h'}) do
  if redis.call('EXISTS', KEYS[i]) == 1 then
    redis.call('RENAME', KEYS[i], ARGV[6] .. name)
    redis.call('EXPIRE', ARGV[6] .. name, 604800)
    n = n + 1
  end
end
return {'OK', tostring(n)}
