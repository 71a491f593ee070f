-- No further ARGV. Returns MISSING, or OK and: c n f top lo fn run att rb len
-- open stop mid res fail end hd header text turn…
-- One atomic picture, so that a snapshot and its position belong together.
local m = redis.call('HMGET', KEYS[1], 'c', 'n', 'f', 'top', 'lo', 'fn', 'run', 'att', 'rb', 'len', 'open', 'stop', 'mid', 'res', 'fail', 'end', 'hd', 'pl', 'tn', 'wait')
if not m[1] then return {'MISSING'} end
-- Made while a run was being written, and its writer has not begun here yet:
-- a state without that text would take back what viewers have.
if m[20] and m[20] ~= '0' then return {'MISSING'} end
local text = redis.call('GET', KEYS[3]) or ''
local header = redis.call('GET', KEYS[5])
if not header or not whole(m[19]) or (m[11] == '1' and #text ~= tonumber(m[18])) then return {'MISSING'} end
local out = {'OK'}
for i = 1, 17 do out[#out + 1] = m[i] or '' end
out[#out + 1] = header
out[#out + 1] = text
for _, t in ipairs(redis.call('LRANGE', KEYS[4], 0, -1)) do out[#out + 1] = t end
return out
