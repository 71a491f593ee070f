-- Follows append.lua. Appends of several conversations in one call: what costs
-- the same for one as for many (the identity, the clock, the call) is paid once.
-- KEYS 1–5 of the first, 6 the marker, then five of each further one
-- ARGV 1, 2 and 5 as ever, then of each: channel, tag, and append's 6 to 15
-- Returns an answer of append for each, or ERR and why: one that breaks (a key
-- of a foreign type) must not take its neighbours along.
local out = {}
for i = 0, (#ARGV - 5) / 12 - 1 do
  local k, a = i > 0 and i * 5 + 1 or 0, 5 + i * 12
  K = {KEYS[k + 1], KEYS[k + 2], KEYS[k + 3], KEYS[k + 4], KEYS[k + 5]}
  A = {ARGV[1], ARGV[2], ARGV[a + 1], ARGV[a + 2], ARGV[5], unpack(ARGV, a + 3, a + 12)}
  local ok, r = pcall(append)
  if not ok then r = {'ERR', type(r) == 'table' and r.err or tostring(r)} end
  out[i + 1] = r
end
return out
