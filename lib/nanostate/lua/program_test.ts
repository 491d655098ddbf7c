import assert from "node:assert/strict";
import { LUA_BYTES_MAX, LUA_DEPTH_MAX, LUA_STEPS_MAX } from "../limits.ts";
import { library } from "./library.ts";
import { isFailure, loadProgram } from "./program.ts";
import { fromBytes, LuaStop, LuaTable, LuaThrown, Meter, toBytes, toText } from "./values.ts";

/** What a chunk returns, as Lua prints it, or the error it ends with. */
function lua(text: string): string {
  const program = loadProgram("t.fn", text);
  if (isFailure(program)) return `no Lua: ${program.line}:${program.column}: ${program.reason}`;
  const meter = new Meter();
  const { globals, strings } = library(meter);
  try {
    return program.run({ meter, globals, strings }).map((value) => fromBytes(toText(value))).join(" ");
  } catch (error) {
    if (error instanceof LuaThrown) return `error: ${error.message}`;
    if (error instanceof LuaStop) return `stopped: ${error.message}`;
    throw error;
  }
}

/** Chunk → what real Lua gives too (compared with Lua 5.3; numbers are printed as here). */
const SAME_AS_LUA: readonly (readonly [string, string])[] = [
  ["return 1 + 2 * 3, 7 % 3, -7 % 3, 7 % -3, -2 ^ 2, 10 / 4, '10' + 5, 2 ^ -1", "7 1 2 -2 -4 2.5 15 0.5"],
  ["return 1 .. 2, not 1 == 2, nil and 1, false or 'x', 'a' < 'b', 1 == '1'", "12 false nil x true false"],
  ["local function f() return 1, 2, 3 end return (f()), f()", "1 1 2 3"],
  ["local function f() return 1, 2 end local t = {f(), f(), ( f() )} return #t, t[3]", "3 1"],
  ["local function f(...) return select('#', ...), ... end return f(nil, 2, nil)", "3 nil 2 nil"],
  ["local function f() return 1, 2 end return --[[ ( ]] f()", "1 2"],
  ["local s = 0 for i = 10, 1, -3 do s = s * 100 + i end return s", "10070401"],
  [
    "local f = {} for i = 1, 2 do f[i] = function() i = i + 1 return i end end return f[1](), f[1](), f[2]()",
    "2 3 3",
  ],
  ["local x = 1 local f = function() return x end local x = 2 return f(), x", "1 2"],
  ["local i = 0 repeat local j = i i = i + 1 until j >= 4 return i", "5"],
  ["for i = 1, 3 do for j = 1, 3 do if j == 2 then break end if i == 2 then return i, j end end end", "2 1"],
  ["local t = {} t[3] = 'c' t[2] = 'b' t[1] = 'a' return #t, table.concat(t, ',')", "3 a,b,c"],
  ["local t = {1, 2, nil, 4} t[4] = nil return #t", "2"],
  ["local i, t = 1, {} i, t[i] = i + 1, 20 return i, t[1]", "2 20"],
  [
    "local t = {1, 2, 3} table.insert(t, 2, 9) return table.concat(t, ','), table.remove(t), table.remove(t, 1)",
    "1,9,2,3 3 1",
  ],
  ["local t = {5, 2, 8} table.sort(t, function(a, b) return a > b end) return table.unpack(t)", "8 5 2"],
  [
    "local n = 0 local t = {1, 2, x = 3} for k, v in pairs(t) do n = n + v t[k] = nil end return n, next(t)",
    "6 nil",
  ],
  ["local s = 0 for _, v in ipairs({1, 2, nil, 4}) do s = s + v end return s", "3"],
  ["local t = {v = 10} function t:f(x) return self.v + x end return t:f(5), t.f({v = 1}, 1)", "15 2"],
  ["return ('key = value'):match('^(%w+)%s*=%s*(%w+)$')", "key value"],
  ["return ('  trim '):match('^%s*(.-)%s*$') .. '|', ('f(a(b)c)d'):match('%b()')", "trim| (a(b)c)"],
  [
    "return ('THE (quick) fox'):find('%f[%a]%a+', 5), ('hello'):find('l', 1, true), ('a.b'):find('.', 2, true)",
    "6 3 2 2",
  ],
  [
    "return ('[[x]]'):match('%[%[(.-)%]%]'), ('a]b'):match('[]]'), ('5'):match('[^%a]'), ('abab'):match('(ab)%1')",
    "x ] 5 ab",
  ],
  [
    "return ('abc'):gsub('', '-'), ('abc'):gsub('%w', '%0%0'), ('aaa'):gsub('a', 'b', 2)",
    "-a-b-c- aabbcc bba 2",
  ],
  ["return ('$name is $age'):gsub('%$(%w+)', {name = 'bob', age = 42})", "bob is 42 2"],
  ["return ('abc'):gsub('b', function(x) return '[' .. x .. ']' end)", "a[b]c 1"],
  [
    "local r = {} for k, v in ('a=1, b=2'):gmatch('(%w+)=(%w+)') do r[#r + 1] = k .. v end return table.concat(r)",
    "a1b2",
  ],
  [
    "return ('%5d|%-5d|%05d|%x|%10.3s|%.2f|%g|%g|%c|%%'):format(42, 42, 42, 255, 'abcdef', 3.14159, 0.1, 100, 65)",
    "   42|42   |00042|ff|       abc|3.14|0.1|100|A|%",
  ],
  [
    "return ('hello'):sub(2, 3), ('hello'):sub(-3), ('hello'):sub(0), ('hello'):sub(10) .. '|', ('abc'):byte(-1)",
    "el llo hello | 99",
  ],
  ["return #'é', ('é'):byte(1, -1)", "2 195 169"],
  [
    "return tonumber('0x10'), tonumber(' 5 '), tonumber('z', 36), tonumber('9', 8), tonumber('x')",
    "16 5 35 nil nil",
  ],
  ["return pcall(error, 'x', 0)", "false x"],
  ["return select(2, pcall(function() error('bad') end))", "t.fn:1:35: bad"],
  ["local function f() error('bad', 2) end\nreturn select(2, pcall(function()\nf()\nend))", "t.fn:3:1: bad"],
  ["local ok, e = pcall(error, {code = 5}) return ok, e.code", "false 5"],
  ["return math.max(1, 5, 3), math.floor(-1.5), math.fmod(-7, 3), math.huge, 3 % math.huge", "5 -2 -1 inf 3"],
];

for (const [text, expected] of SAME_AS_LUA) {
  Deno.test(`Lua: ${text.replaceAll("\n", " ")}`, () => assert.equal(lua(text), expected));
}

Deno.test("errors of Lua name file, line and column", () => {
  assert.equal(lua("local t\nreturn t.x"), "error: t.fn:2:8: attempt to index 't' (a nil value)");
  assert.equal(lua("return 1 + {}"), "error: t.fn:1:8: attempt to calculate with this (a table value)");
  assert.equal(lua("nofunc()"), "error: t.fn:1:1: attempt to call 'nofunc' (a nil value)");
  assert.equal(lua("return ('x'):rep({})"), "error: t.fn:1:8: bad argument #2 (number expected, got table)");
  assert.equal(lua("return ('é'):match('[')"), "error: t.fn:1:8: malformed pattern: a `[` is not closed");
  assert.equal(lua("x = = 1"), "no Lua: 1:5: <expression> expected near '='");
  assert.equal(lua("x = 'é' y = = 1"), "no Lua: 1:13: <expression> expected near '='");
});

Deno.test("what a state's functions do not need is not there", () => {
  for (
    const name of ["io", "os", "package", "debug", "coroutine", "load", "loadstring", "dofile", "loadfile"]
  ) {
    assert.equal(lua(`return ${name}`), "nil", name);
  }
  for (const name of ["setmetatable", "getmetatable", "collectgarbage", "print", "rawset", "_G", "_ENV"]) {
    assert.equal(lua(`return ${name}`), "nil", name);
  }
  assert.equal(lua("return math.random, string.dump"), "nil nil");
  assert.equal(lua("goto x ::x::"), "no Lua: 1:1: goto is not offered here");
  assert.equal(lua("return 7 // 2").slice(0, 8), "no Lua: ");
  assert.equal(lua("return ('x').constructor, ({}).__proto__, ({}).toString"), "nil nil nil");
  assert.equal(lua("return constructor, __proto__, toString"), "nil nil nil");
});

const STEPS = `stopped: it took more than ${LUA_STEPS_MAX} steps`;
const BYTES = `stopped: it made more than ${LUA_BYTES_MAX} bytes of values`;
const DEPTH = `stopped: functions called each other more than ${LUA_DEPTH_MAX} deep`;
/** Code that would take a host's memory, stack or time → where it is stopped. */
const HOSTILE: Readonly<Record<string, readonly [string, string]>> = {
  "an endless loop": ["while true do end", STEPS],
  "an endless loop without a body": ["repeat until false", STEPS],
  "an endless numeric loop": ["for i = 1, math.huge do end", STEPS],
  "an endless loop in pcall, for ever": ["while true do pcall(function() while true do end end) end", STEPS],
  "an endless iterator": ["for x in function() return 1 end do end", STEPS],
  "a doubled text": ["local s = 'x' while true do s = s .. s end", BYTES],
  "a huge repetition": ["return #string.rep('x', 1e9)", BYTES],
  "a repetition of nothing": ["return #string.rep('', 1e15)", "0"],
  "a repetition beyond all numbers": ["return string.rep('xx', 1e308)", BYTES],
  "many repetitions": ["for i = 1, 1e6 do local s = string.rep('x', 1e6) end", BYTES],
  "a growing table": ["local t = {} while true do t[#t + 1] = {} end", BYTES],
  "a huge concat": [
    "local t = {} for i = 1, 1000 do t[i] = string.rep('x', 1e5) end return #table.concat(t)",
    BYTES,
  ],
  "a concat without end": [
    "return table.concat({}, '', 1, 1e15)",
    "error: t.fn:1:8: invalid value (a nil) at index 1 in table for 'concat'",
  ],
  "an unpack without end": ["return table.unpack({}, 1, 1e9)", "error: t.fn:1:8: too many results to unpack"],
  "too many bytes": [
    "return string.byte(string.rep('x', 1e6), 1, -1)",
    "error: t.fn:1:8: string slice too long",
  ],
  "deep recursion": ["local function f() return 1 + f() end return f()", DEPTH],
  "recursion by gsub": ["local function f() return (('x'):gsub('x', f)) end return f()", DEPTH],
  "recursion by sort": ["local function f() table.sort({1, 2}, f) return true end return f()", DEPTH],
  "recursion by pcall": ["local function f() return pcall(f) end return f()", DEPTH],
  "a pattern that backtracks": ["return (('a'):rep(200)):find(('a*'):rep(40) .. 'b')", STEPS],
  "a pattern that backtracks lazily": ["return (('a'):rep(2000)):find(('.-'):rep(20) .. 'b')", STEPS],
  "a pattern over every start": ["return (('a'):rep(1e5)):find('.-b')", STEPS],
  "a plain search in a text of one letter": [
    "local s = ('a'):rep(1e6) return s:find(('a'):rep(5e5) .. 'b', 1, true)",
    STEPS,
  ],
  "a pattern of many groups": ["return ('a'):find(('('):rep(500))", "error: t.fn:1:8: too many captures"],
  "a replacement that grows": ["local s = 'x' for i = 1, 40 do s = s:gsub('x', 'xx') end", STEPS],
  "inserts at the front": ["local t = {} for i = 1, 1e6 do table.insert(t, 1, i) end", STEPS],
  "removals at the front": [
    "local t = {} for i = 1, 2e4 do t[i] = i end for i = 1, 2e4 do table.remove(t, 1) end",
    STEPS,
  ],
  "a sort that never agrees": [
    "local t = {} for i = 1, 1e5 do t[i] = i end while true do table.sort(t, function() return true end) end",
    STEPS,
  ],
  "a key of every kind": ["local t = {} for i = 1, 1e7 do t[i + 0.5] = i end", STEPS],
  "a wide format": [
    "return ('%999d'):format(1)",
    "error: t.fn:1:8: invalid format (width or precision too long)",
  ],
  "a walk that walks": [
    "local t = {} for i = 1, 3000 do t[i] = i end for k in pairs(t) do for j in pairs(t) do end end",
    STEPS,
  ],
  "errors without end": ["while true do pcall(error) end", STEPS],
  "long equal texts": ["local a, b = ('x'):rep(1e6), ('x'):rep(1e6) while a == b do end", STEPS],
  "long keys": ["local t, k = {}, ('x'):rep(1e6) t[('x'):rep(1e6)] = 1 while t[k] do end", STEPS],
  "long texts as numbers": ["local s = (' '):rep(1e6) .. 'x' while true do local n = tonumber(s) end", STEPS],
  "long digits": ["return tonumber(('1'):rep(1e6) .. 'x')", "nil"],
  "long lists of values": [
    "local function f(...) return ... end local t = table.pack(('x'):byte(1, -1)) for i = 1, 7000 do t[i] = i end while true do f(table.unpack(t)) end",
    STEPS,
  ],
  "next from key to key": [
    "local t = {} for i = 1, 3e4 do t['k' .. i] = i end local k repeat k = next(t, k) until not k",
    STEPS,
  ],
};

for (const [what, [text, expected]] of Object.entries(HOSTILE)) {
  Deno.test(`${what} is stopped`, () => assert.equal(lua(text), expected));
}

Deno.test("code too deep or too large to load is refused, and nothing breaks", () => {
  const deep = 100_000;
  assert.match(
    lua(`return ${"(".repeat(deep)}1${")".repeat(deep)}`),
    /^no Lua: 1:1: its expressions or blocks lie too deep/,
  );
  assert.match(lua(`return ${"{".repeat(deep)}${"}".repeat(deep)}`), /^no Lua: 1:1: its expressions/);
  assert.match(lua(`${"do ".repeat(deep)}${"end ".repeat(deep)}`), /^no Lua: 1:1: its expressions/);
  assert.match(lua(`--${"x".repeat(1024 * 1024)}`), /^no Lua: 1:1: it is larger than/);
  assert.match(
    lua(`${"local a\n".repeat(100_000)}`),
    /^no Lua: 1:1: a block with more than 200 local variables is not offered/,
  );
  assert.equal(lua(`${"--\n".repeat(300_000)}return 1`), "1");
});

Deno.test("a meter that is empty stays empty", () => {
  const program = loadProgram("t.fn", "local ok = pcall(function() while true do end end) return ok");
  assert.ok(!isFailure(program));
  const meter = new Meter();
  const { globals, strings } = library(meter);
  for (const _again of [1, 2, 3]) {
    assert.throws(
      () => program.run({ meter, globals, strings }),
      (error) => error instanceof LuaStop && error.code === "limit",
    );
  }
});

Deno.test("a table's entries come as they were put there", () => {
  const table = new LuaTable(new Meter());
  for (const key of ["z", "a", 5, 2, 1, "m"]) table.set(key, key);
  assert.deepEqual(table.entries().map(([key]) => key), [1, 2, "z", "a", 5, "m"]);
  table.set("a", undefined);
  table.set(2, undefined);
  assert.deepEqual(table.entries().map(([key]) => key), [1, "z", 5, "m"]);
});

Deno.test("bytes and texts turn into each other", () => {
  for (const text of ["", "plain", "é😀", "\uFEFFx"]) assert.equal(fromBytes(toBytes(text)), text);
  assert.equal(fromBytes("\xff"), null);
});
