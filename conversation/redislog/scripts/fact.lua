-- ARGV 6 counter 7 nonce 8 fact 9 type 10 run 11 attempt 12 base 13 data
--      14 turn or '' 15 '1' when it ends its run 16 field to fold into or ''
--      17 header or '' 18 fence or '0' 19 most turns kept 20 head or ''
-- Returns OK seq ts | DUP | MISSING | EPOCH | GAP have
-- No fence is needed to put a fact: its content is committed SQL, so any node
-- may. The number makes it idempotent and keeps the order.
local m = redis.call('HMGET', KEYS[1], 'c', 'n', 'f', 'top', 'fn', 'run', 'exp', 'lo', 'open', 'over', 'tn', 'wait')
if not m[1] then return {'MISSING'} end
if m[1] ~= ARGV[6] or m[2] ~= ARGV[7] then return {'EPOCH'} end
local fn = tonumber(m[5])
if tonumber(ARGV[8]) <= fn then return {'DUP'} end
if tonumber(ARGV[8]) > fn + 1 then return {'GAP', m[5]} end
local sec, ts = now()
local seq = string.format('%.0f', tonumber(m[4]) + 1)
log(m[1] .. '.' .. m[2], seq, ts, ARGV[9], ARGV[10], ARGV[11], ARGV[12], '0', '0', ARGV[8], ARGV[13])
redis.call('HSET', KEYS[1], 'top', seq, 'fn', ARGV[8])
if ARGV[14] ~= '' then
  redis.call('RPUSH', KEYS[4], ARGV[14])
  redis.call('LTRIM', KEYS[4], -tonumber(ARGV[19]), -1)
  redis.call('HSET', KEYS[1], 'tn', math.min(tonumber(m[11] or 0) + 1, tonumber(ARGV[19])))
end
local over = ARGV[15] == '1' and tonumber(ARGV[18]) or 0
if ARGV[15] == '1' and m[6] == ARGV[10] and m[9] == '1' then
  over = math.max(over, tonumber(m[3]))
  redis.call('DEL', KEYS[3])
  redis.call('HSET', KEYS[1], 'open', '0', 'len', '0', 'pl', '0', 'stop', '')
end
if ARGV[15] == '1' and m[12] == ARGV[10] then redis.call('HSET', KEYS[1], 'wait', '0') end
if over > tonumber(m[10] or 0) then redis.call('HSET', KEYS[1], 'over', string.format('%.0f', over)) end
if ARGV[16] ~= '' then redis.call('HSET', KEYS[1], ARGV[16], ARGV[13]) end
if ARGV[20] ~= '' then redis.call('HSET', KEYS[1], 'hd', ARGV[20]) end
if ARGV[17] ~= '' then redis.call('SET', KEYS[5], ARGV[17]) end
if tonumber(ARGV[18]) > tonumber(m[3]) then redis.call('HSET', KEYS[1], 'f', ARGV[18]) end
trim(tonumber(seq), tonumber(m[8]))
-- The first entry makes the stream, a turn may make the list.
if ARGV[14] ~= '' or m[4] == '0' then m[7] = nil end
keep(sec, m[7])
return {'OK', seq, ts}
