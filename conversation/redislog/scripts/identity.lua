-- Stands alone, without lib.lua. KEYS 1 marker; ARGV 1 mode 2 a fresh random
-- marker. Returns the identity of the incarnation behind this connection,
-- making a marker where there is none.
if ARGV[1] == 'r' then
  return string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)') or ''
end
-- Read first: a Redis that takes no writes is read all the same.
local have = redis.call('GET', KEYS[1])
if not have then
  have = ARGV[2]
  redis.call('SET', KEYS[1], have)
end
return have
