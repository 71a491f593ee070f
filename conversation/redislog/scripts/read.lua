-- ARGV 6 counter 7 nonce 8 after 9 max
-- Returns OK top id entry id entry … | MISSING | EPOCH | TRIMMED | AHEAD
-- TRIMMED is told because XRANGE below the front would skip in silence.
local m = redis.call('HMGET', KEYS[1], 'c', 'n', 'top', 'lo')
if not m[1] then return {'MISSING'} end
if m[1] ~= ARGV[6] or m[2] ~= ARGV[7] then return {'EPOCH'} end
local after = tonumber(ARGV[8])
if after > tonumber(m[3]) then return {'AHEAD'} end
if after + 1 < tonumber(m[4]) then return {'TRIMMED'} end
local out = {'OK', m[3]}
if after < tonumber(m[3]) then
  local es = redis.call('XRANGE', KEYS[2], string.format('%.0f', after + 1) .. '-0', '+', 'COUNT', ARGV[9])
  for _, e in ipairs(es) do
    out[#out + 1] = e[1]
    out[#out + 1] = e[2][2]
  end
end
return out
