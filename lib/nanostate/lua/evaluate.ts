/**
 * Lua's syntax tree → functions of JavaScript that carry it out.
 *
 * E1. Every expression, statement and round of a loop costs a step; every string and table is metered before it is made.
 * E2. The tree is turned once, and run any number of times: all state is in the scopes and the world given.
 * E3. Not offered, and refused when a file is loaded: goto, bitwise operators, integer division.
 *
 * Names are resolved while turning: a variable is `hops` scopes outwards, at `index`. Each block that is entered makes
 * a scope of its own, so closures made in a loop keep their own variables, as Lua wants it.
 */
// @ts-types="@types/luaparse"
import type * as lua from "luaparse";
import { LUA_LOCALS_MAX } from "../limits.ts";
import {
  BYTES_A_STEP,
  type LuaFunction,
  LuaTable,
  LuaThrown,
  type Meter,
  toNumber,
  toText,
  typeName,
  type Value,
} from "./values.ts";

/** What a running chunk touches. */
export interface World {
  meter: Meter;
  globals: LuaTable;
  /** Functions behind `("x"):upper()`. */
  strings: LuaTable;
}

class Scope {
  readonly vars: Value[] = [];
  /** Of `...`, in the scope of a function. */
  rest: readonly Value[] = NONE;
  constructor(readonly world: World, readonly up: Scope | null) {}
}

type Run<T> = (scope: Scope) => T;
type Outcome = undefined | typeof BREAK | readonly Value[];

/** What the parser's types leave out. */
interface Ranged {
  range?: [start: number, end: number];
}

const NONE: readonly Value[] = [];
const BREAK = Symbol("break");
/** Expressions that may have any number of values. */
const MANY: ReadonlySet<string> = new Set([
  "VarargLiteral",
  "CallExpression",
  "StringCallExpression",
  "TableCallExpression",
]);

/** A construct that E3 leaves out; the loader gives it its place. */
export class NotOffered extends Error {
  override readonly name = "NotOffered";
  constructor(readonly what: string, readonly node: { loc?: lua.Node["loc"] }) {
    super(what);
  }
}

/** @param chunk with ranges and comments. @param source its text @param file for messages. @throws {NotOffered} */
export function turnChunk(
  chunk: lua.Chunk,
  { source, file }: { source: string; file: string },
): (world: World) => readonly Value[] {
  const run = new Turner(file, withoutComments(chunk, source)).function([], chunk.body, true);
  return (world) => run(new Scope(world, null))(NONE);
}

/** Variables of one block, while turning. */
class Names {
  readonly #names: string[] = [];
  constructor(readonly up: Names | null, readonly rest: "own" | "none" | "outer") {}

  /** @throws {NotOffered} for too many */
  declare(name: string): number {
    if (this.#names.length >= LUA_LOCALS_MAX) {
      throw new NotOffered(`a block with more than ${LUA_LOCALS_MAX} local variables`, {});
    }
    return this.#names.push(name) - 1;
  }

  find(name: string): { hops: number; index: number } | null {
    const index = this.#names.lastIndexOf(name);
    if (index >= 0) return { hops: 0, index };
    const outer = this.up?.find(name) ?? null;
    return outer === null ? null : { hops: outer.hops + 1, index: outer.index };
  }

  /** How far out the `...` of the function lies; null where there is none. */
  restHops(): number | null {
    if (this.rest === "own") return 0;
    const outer = this.rest === "outer" ? this.up?.restHops() ?? null : null;
    return outer === null ? null : outer + 1;
  }
}

function outwards(scope: Scope, hops: number): Scope {
  let at = scope;
  for (; hops > 0 && at.up !== null; hops--) at = at.up;
  return at;
}

class Turner {
  #names = new Names(null, "none");

  constructor(readonly file: string, readonly source: string) {}

  function(params: readonly string[], body: readonly lua.Statement[], rest: boolean): Run<LuaFunction> {
    const run = this.#within(rest ? "own" : "none", () => {
      for (const name of params) this.#names.declare(name);
      return this.#statements(body);
    });
    return (up) => (args) =>
      up.world.meter.deeper(() => {
        const scope = new Scope(up.world, up);
        for (let index = 0; index < params.length; index++) scope.vars[index] = args[index];
        if (rest) scope.rest = args.slice(params.length); // as long as the list that the caller has paid for
        const outcome = run(scope);
        return outcome === undefined || outcome === BREAK ? NONE : outcome;
      });
  }

  #within<T>(rest: Names["rest"], turn: () => T): T {
    const outer = this.#names;
    this.#names = new Names(outer, rest);
    const turned = turn();
    this.#names = outer;
    return turned;
  }

  #block(body: readonly lua.Statement[], ...variables: string[]): (up: Scope, ...values: Value[]) => Outcome {
    const run = this.#within("outer", () => {
      for (const name of variables) this.#names.declare(name);
      return this.#statements(body);
    });
    return (up, ...values) => {
      const scope = new Scope(up.world, up);
      for (let index = 0; index < variables.length; index++) scope.vars[index] = values[index];
      return run(scope);
    };
  }

  #statements(body: readonly lua.Statement[]): Run<Outcome> {
    const runs = body.map((statement) => this.#statement(statement));
    return (scope) => {
      for (const run of runs) {
        scope.world.meter.spend(1);
        const outcome = run(scope);
        if (outcome !== undefined) return outcome;
      }
      return undefined;
    };
  }

  #statement(node: lua.Statement): Run<Outcome> {
    switch (node.type) {
      case "LocalStatement":
        return this.#local(node);
      case "AssignmentStatement":
        return this.#assignment(node);
      case "CallStatement": {
        const call = this.#many(node.expression);
        return (scope) => void call(scope);
      }
      case "FunctionDeclaration":
        return this.#declaration(node);
      case "ReturnStatement": {
        const values = this.#list(node.arguments);
        return (scope) => values(scope);
      }
      case "BreakStatement":
        return () => BREAK;
      case "DoStatement":
        return this.#block(node.body);
      case "IfStatement":
        return this.#if(node);
      case "WhileStatement": {
        const [condition, body] = [this.#one(node.condition), this.#block(node.body)];
        return (scope) => loop(scope, () => isTrue(condition(scope)) ? body(scope) : BREAK);
      }
      case "RepeatStatement":
        return this.#repeat(node);
      case "ForNumericStatement":
        return this.#numericFor(node);
      case "ForGenericStatement":
        return this.#genericFor(node);
      default:
        throw new NotOffered(node.type === "LabelStatement" ? "a label" : "goto", node);
    }
  }

  #local({ variables, init }: lua.LocalStatement): Run<Outcome> {
    const values = this.#list(init); // before the names: `local x = x`
    const slots = variables.map(({ name }) => this.#names.declare(name));
    return (scope) => {
      const all = values(scope);
      for (let n = 0; n < slots.length; n++) scope.vars[slots[n] ?? 0] = all[n];
      return undefined;
    };
  }

  #assignment({ variables, init }: lua.AssignmentStatement): Run<Outcome> {
    const values = this.#list(init);
    const targets = variables.map((target) => this.#target(target));
    return (scope) => {
      const setters = targets.map((target) => target(scope));
      const all = values(scope);
      setters.forEach((set, n) => set(all[n]));
      return undefined;
    };
  }

  /** Where a value goes: table and key are evaluated first, then the value is put there. */
  #target(node: lua.Expression): Run<(value: Value) => void> {
    if (node.type === "Identifier") {
      const found = this.#names.find(node.name);
      if (found === null) return ({ world }) => (value) => world.globals.set(node.name, value);
      return (scope) => (value) => void (outwards(scope, found.hops).vars[found.index] = value);
    }
    if (node.type !== "IndexExpression" && node.type !== "MemberExpression") {
      throw new NotOffered("an assignment to this", node);
    }
    const [base, key] = [this.#one(node.base), this.#key(node)];
    return (scope) => {
      const [table, at] = [base(scope), key(scope)];
      return (value) => {
        if (!(table instanceof LuaTable)) {
          throw this.#error(node, `attempt to index ${described(node.base, table)}`);
        }
        this.#placed(node, () => table.set(at, value));
      };
    };
  }

  #declaration(node: lua.FunctionDeclaration): Run<Outcome> {
    const { identifier, isLocal } = node;
    if (identifier === null) throw new NotOffered("a function without a name here", node);
    if (isLocal && identifier.type === "Identifier") {
      const slot = this.#names.declare(identifier.name); // before the body: it may call itself
      const make = this.#functionOf(node, false);
      return (scope) => void (scope.vars[slot] = make(scope));
    }
    const isMethod = identifier.type === "MemberExpression" && identifier.indexer === ":";
    const [target, make] = [this.#target(identifier), this.#functionOf(node, isMethod)];
    return (scope) => void target(scope)(make(scope));
  }

  #functionOf({ parameters, body }: lua.FunctionDeclaration, isMethod: boolean): Run<LuaFunction> {
    const names = parameters.flatMap((each) => each.type === "Identifier" ? [each.name] : []);
    return this.function(isMethod ? ["self", ...names] : names, body, names.length < parameters.length);
  }

  #if({ clauses }: lua.IfStatement): Run<Outcome> {
    const turned = clauses.map((clause) => ({
      condition: clause.type === "ElseClause" ? null : this.#one(clause.condition),
      body: this.#block(clause.body),
    }));
    return (scope) => {
      const taken = turned.find(({ condition }) => condition === null || isTrue(condition(scope)));
      return taken?.body(scope);
    };
  }

  #repeat({ body, condition }: lua.RepeatStatement): Run<Outcome> {
    const [run, done] = this.#within("outer", () => [this.#statements(body), this.#one(condition)] as const);
    return (up) =>
      loop(up, () => {
        const scope = new Scope(up.world, up);
        return run(scope) ?? (isTrue(done(scope)) ? BREAK : undefined);
      });
  }

  #numericFor(node: lua.ForNumericStatement): Run<Outcome> {
    const parts = [node.start, node.end, ...(node.step === null ? [] : [node.step])].map((part) =>
      this.#one(part)
    );
    const body = this.#block(node.body, node.variable.name);
    return (scope) => {
      const [start, end, step = 1] = parts.map((part) => {
        const value = toNumber(part(scope));
        if (value === undefined) throw this.#error(node, "'for' needs numbers");
        return value;
      });
      if (start === undefined || end === undefined) throw this.#error(node, "'for' needs numbers");
      if (step === 0) throw this.#error(node, "'for' has the step 0");
      let at = start;
      return loop(scope, () => {
        if (step > 0 ? !(at <= end) : !(at >= end)) return BREAK;
        const outcome = body(scope, at);
        at += step;
        return outcome;
      });
    };
  }

  #genericFor(node: lua.ForGenericStatement): Run<Outcome> {
    const iterators = this.#list(node.iterators);
    const body = this.#block(node.body, ...node.variables.map(({ name }) => name));
    return (scope) => {
      const [next, state, first] = iterators(scope);
      let control = first;
      return loop(scope, () => {
        const values = this.#call(node, next, [state, control], "what 'in' has");
        control = values[0];
        return control === undefined ? BREAK : body(scope, ...values);
      });
    };
  }

  /** Values of a list; the last of it gives all that it has. @param parens that stand before it and are not its own */
  #list(nodes: readonly lua.Expression[], parens = 0): Run<readonly Value[]> {
    const last = nodes.at(-1);
    if (last === undefined) return () => NONE;
    if (!MANY.has(last.type) || this.#inParens(last, nodes.length === 1 ? parens : 0)) {
      const ones = nodes.map((node) => this.#one(node));
      return (scope) => ones.map((one) => one(scope));
    }
    const [ones, many] = [nodes.slice(0, -1).map((node) => this.#one(node)), this.#many(last)];
    return (scope) => {
      const all = [...ones.map((one) => one(scope)), ...many(scope)];
      scope.world.meter.spend(all.length / BYTES_A_STEP);
      return all;
    };
  }

  #many(node: lua.Expression): Run<readonly Value[]> {
    switch (node.type) {
      case "VarargLiteral": {
        const hops = this.#names.restHops();
        if (hops === null) throw new NotOffered("`...` outside of a function that takes it", node);
        return (scope) => outwards(scope, hops).rest;
      }
      case "CallExpression":
        return this.#callOf(node, node.base, this.#list(node.arguments, 1));
      case "StringCallExpression":
        return this.#callOf(node, node.base, this.#list([node.argument]));
      case "TableCallExpression":
        return this.#callOf(node, node.base, this.#list([node.arguments]));
      default: {
        const one = this.#one(node);
        return (scope) => [one(scope)];
      }
    }
  }

  #callOf(node: lua.Node, base: lua.Expression, args: Run<readonly Value[]>): Run<readonly Value[]> {
    if (base.type === "MemberExpression" && base.indexer === ":") {
      const self = this.#one(base.base);
      const { name } = base.identifier;
      return (scope) => {
        const owner = self(scope);
        const method = this.#index(base, owner, name, scope.world);
        return this.#call(node, method, [owner, ...args(scope)], `method '${name}'`);
      };
    }
    const callee = this.#one(base);
    return (scope) => {
      const called = callee(scope);
      return this.#call(node, called, args(scope), nameOf(base));
    };
  }

  #call(node: lua.Node, called: Value, args: readonly Value[], name: string): readonly Value[] {
    if (typeof called !== "function") {
      throw this.#error(node, `attempt to call ${name} (a ${typeName(called)} value)`);
    }
    return this.#placed(node, () => called(args));
  }

  #one(node: lua.Expression): Run<Value> {
    const run = this.#plain(node);
    return (scope) => {
      scope.world.meter.spend(1);
      return run(scope);
    };
  }

  #plain(node: lua.Expression): Run<Value> {
    switch (node.type) {
      case "NilLiteral":
        return () => undefined;
      case "StringLiteral":
      case "NumericLiteral":
      case "BooleanLiteral":
        return () => node.value;
      case "Identifier":
        return this.#variable(node.name);
      case "FunctionDeclaration":
        return this.#functionOf(node, false);
      case "TableConstructorExpression":
        return this.#table(node);
      case "IndexExpression":
      case "MemberExpression": {
        const [base, key] = [this.#one(node.base), this.#key(node)];
        return (scope) => this.#index(node, base(scope), key(scope), scope.world);
      }
      case "LogicalExpression": {
        const [left, right] = [this.#one(node.left), this.#one(node.right)];
        const wantsTrue = node.operator === "and";
        return (scope) => {
          const value = left(scope);
          return isTrue(value) === wantsTrue ? right(scope) : value;
        };
      }
      case "BinaryExpression":
        return this.#binary(node);
      case "UnaryExpression":
        return this.#unary(node);
      default: {
        const many = this.#many(node);
        return (scope) => many(scope)[0];
      }
    }
  }

  #variable(name: string): Run<Value> {
    const found = this.#names.find(name);
    if (found === null) return ({ world }) => world.globals.get(name);
    return (scope) => outwards(scope, found.hops).vars[found.index];
  }

  #key(node: lua.IndexExpression | lua.MemberExpression): Run<Value> {
    if (node.type === "IndexExpression") return this.#one(node.index);
    const { name } = node.identifier;
    return () => name;
  }

  #index(node: lua.IndexExpression | lua.MemberExpression, base: Value, key: Value, world: World): Value {
    if (base instanceof LuaTable) return base.get(key);
    if (typeof base === "string") return world.strings.get(key);
    throw this.#error(node, `attempt to index ${described(node.base, base)}`);
  }

  #table({ fields }: lua.TableConstructorExpression): Run<Value> {
    const last = fields.at(-1);
    const turned = fields.map((field) => ({
      field,
      key: field.type === "TableKey" ? this.#one(field.key) : null,
      value: field === last && field.type === "TableValue"
        ? this.#list([field.value])
        : this.#list1(field.value),
    }));
    return (scope) => {
      const table = new LuaTable(scope.world.meter);
      let next = 1;
      for (const { field, key, value } of turned) {
        if (field.type === "TableValue") { for (const each of value(scope)) table.set(next++, each); }
        else {
          const name = field.type === "TableKeyString" ? field.key.name : key?.(scope);
          this.#placed(field, () => table.set(name, value(scope)[0]));
        }
      }
      return table;
    };
  }

  /** True for `(f())`, which is one value. */
  #inParens({ range }: lua.Node & Ranged, others: number): boolean {
    let found = 0;
    for (let at = (range?.[0] ?? 0) - 1; at >= 0; at--) {
      const char = this.source[at] ?? "";
      if (char === "(") found++;
      else if (!/\s/.test(char)) break;
    }
    return found > others;
  }

  #list1(node: lua.Expression): Run<readonly Value[]> {
    const one = this.#one(node);
    return (scope) => [one(scope)];
  }

  #unary(node: lua.UnaryExpression): Run<Value> {
    const argument = this.#one(node.argument);
    switch (node.operator) {
      case "not":
        return (scope) => !isTrue(argument(scope));
      case "-":
        return (scope) => -this.#number(node, node.argument, argument(scope));
      case "#":
        return (scope) => {
          const value = argument(scope);
          if (value instanceof LuaTable || typeof value === "string") return value.length;
          throw this.#error(node, `attempt to get the length of ${described(node.argument, value)}`);
        };
      default:
        throw new NotOffered(`the operator ${node.operator}`, node);
    }
  }

  #binary(node: lua.BinaryExpression): Run<Value> {
    const [left, right] = [this.#one(node.left), this.#one(node.right)];
    const numbers = (apply: (a: number, b: number) => number): Run<Value> => (scope) => {
      const [a, b] = [left(scope), right(scope)];
      return apply(this.#number(node, node.left, a), this.#number(node, node.right, b));
    };
    const ordered = (apply: (a: number | string, b: number | string) => boolean): Run<Value> => (scope) => {
      const [a, b] = [left(scope), right(scope)];
      if (typeof a === "string" && typeof b === "string") {
        scope.world.meter.spend(Math.min(a.length, b.length) / BYTES_A_STEP);
      } else if (typeof a !== "number" || typeof b !== "number") {
        throw this.#error(node, `attempt to compare ${typeName(a)} with ${typeName(b)}`);
      }
      return apply(a, b);
    };
    switch (node.operator) {
      case "+":
        return numbers((a, b) => a + b);
      case "-":
        return numbers((a, b) => a - b);
      case "*":
        return numbers((a, b) => a * b);
      case "/":
        return numbers((a, b) => a / b);
      case "%":
        return numbers(modulo);
      case "^":
        return numbers((a, b) => a ** b);
      case "<":
        return ordered((a, b) => a < b);
      case "<=":
        return ordered((a, b) => a <= b);
      case ">":
        return ordered((a, b) => a > b);
      case ">=":
        return ordered((a, b) => a >= b);
      case "==":
        return (scope) => areEqual(left(scope), right(scope), scope.world.meter);
      case "~=":
        return (scope) => !areEqual(left(scope), right(scope), scope.world.meter);
      case "..":
        return (scope) => this.#concat(node, left(scope), right(scope), scope.world.meter);
      default:
        throw new NotOffered(`the operator ${node.operator}`, node);
    }
  }

  #concat(node: lua.BinaryExpression, left: Value, right: Value, meter: Meter): string {
    for (const [part, value] of [[node.left, left], [node.right, right]] as const) {
      if (typeof value !== "string" && typeof value !== "number") {
        throw this.#error(node, `attempt to concatenate ${described(part, value)}`);
      }
    }
    const [a, b] = [toText(left), toText(right)];
    meter.string(a.length + b.length);
    return a + b;
  }

  #number(node: lua.Node, part: lua.Expression, value: Value): number {
    const number = toNumber(value);
    if (number === undefined) throw this.#error(node, `attempt to calculate with ${described(part, value)}`);
    return number;
  }

  #error(node: lua.Node, message: string): LuaThrown {
    return new LuaThrown(this.#place(node) + message, 0);
  }

  /** Gives an error that asks for it the place of this call. */
  #placed<T>(node: lua.Node, run: () => T): T {
    try {
      return run();
    } catch (error) {
      if (!(error instanceof LuaThrown) || error.levels === 0) throw error;
      if (error.levels > 1) throw new LuaThrown(error.value, error.levels - 1);
      throw new LuaThrown(this.#place(node) + toText(error.value), 0);
    }
  }

  #place({ loc }: lua.Node): string {
    return loc === undefined ? `${this.file}: ` : `${this.file}:${loc.start.line}:${loc.start.column + 1}: `;
  }
}

/** Rounds until one breaks or returns. */
function loop({ world }: Scope, round: () => Outcome): Outcome {
  for (;;) {
    world.meter.spend(1);
    const outcome = round();
    if (outcome === BREAK) return undefined;
    if (outcome !== undefined) return outcome;
  }
}

function areEqual(left: Value, right: Value, meter: Meter): boolean {
  if (typeof left === "string" && typeof right === "string") {
    meter.spend(Math.min(left.length, right.length) / BYTES_A_STEP);
  }
  return left === right;
}

export function isTrue(value: Value): boolean {
  return value !== undefined && value !== false;
}

/** Lua's `%`: of the divisor's sign. */
function modulo(a: number, b: number): number {
  if (b === Infinity) return a >= 0 ? a : b;
  if (b === -Infinity) return a <= 0 ? a : b;
  return a - Math.floor(a / b) * b;
}

/** The parser keeps comments and parentheses out of the tree; the latter are looked for where they stand. */
function withoutComments({ comments = [] }: lua.Chunk, source: string): string {
  const parts: string[] = [];
  let from = 0;
  for (const { range: [start, end] = [from, from] } of comments as (lua.Comment & Ranged)[]) {
    parts.push(source.slice(from, start), " ".repeat(end - start));
    from = end;
  }
  return parts.join("") + source.slice(from);
}

function nameOf(node: lua.Expression): string {
  if (node.type === "Identifier") return `'${node.name}'`;
  if (node.type === "MemberExpression") return `'${node.identifier.name}'`;
  return "this";
}

function described(node: lua.Expression, value: Value): string {
  return `${nameOf(node)} (a ${typeName(value)} value)`;
}
