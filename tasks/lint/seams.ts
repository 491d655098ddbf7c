/**
 * Lint plugin: code that the simulation runs reaches time, chance, network, disk and keys through seams only.
 *
 * It looks at functions/, lib/cluster/ and agents/; there, at every file but main.ts, real_*.ts and tests.
 * L1. A forbidden global may not even be named: an alias would be as bad. Names that the file declares itself are its
 *     own. `Date` and `Math` stay, for what is pure in them.
 * L2. No `let` at module level: what a module keeps, a killed process would keep too.
 * L3. No platform module and no `real_*.ts`: backends are chosen in main.ts.
 * What it cannot see (a global through `eval`), `lib/mesh/guard.ts` stops when it runs.
 */

const CHECKED = /(^|\/)(functions|lib\/cluster|agents)\//;
const EXEMPT = /(^|\/)(main|real_\w+|\w+_test|testing\w*)\.ts$/;

/** Global → what to use instead. */
const FORBIDDEN: Readonly<Record<string, string>> = {
  setTimeout: "scope.sleep or scope.timeout",
  setInterval: "scope.every",
  setImmediate: "scope.spawn",
  clearTimeout: "a scope that ends",
  clearInterval: "a scope that ends",
  performance: "scope.monoMs",
  crypto: "scope.random, Crypt or Signer",
  fetch: "Net",
  WebSocket: "Net",
  EventSource: "Net",
  Worker: "scope.spawn",
  Deno: "Disk, Net or another seam",
  process: "a seam",
  navigator: "configuration",
  localStorage: "Store or Disk",
  sessionStorage: "Store or Disk",
  caches: "Store or Disk",
  FinalizationRegistry: "an explicit close",
  WeakRef: "a plain reference",
  globalThis: "a seam",
  self: "a seam",
  window: "a seam",
};

/** Globals that stay, for these members only. */
const PURE: Readonly<Record<string, { members: RegExp; instead: string }>> = {
  Date: { members: /^(parse|UTC)$/, instead: "scope.nowMs; `new Date(ms)` is fine" },
  Math: { members: /^(?!random$)/, instead: "scope.random" },
  Temporal: { members: /^(?!Now$)/, instead: "scope.nowMs" },
  AbortSignal: { members: /^(?!timeout$)/, instead: "scope.timeout" },
};

/** Modules of the platform that only compute. */
const PURE_MODULES = /^node:(path(\/posix)?|buffer|util)$/;

const plugin: Deno.lint.Plugin = {
  name: "salar",
  rules: {
    "seams": { create: (context) => isChecked(context) ? seamsVisitor(context) : {} },
    "no-module-state": { create: (context) => isChecked(context) ? stateVisitor(context) : {} },
    "no-backends": { create: (context) => isChecked(context) ? backendsVisitor(context) : {} },
  },
};
export default plugin;

function isChecked({ filename }: Deno.lint.RuleContext): boolean {
  const path = filename.replaceAll("\\", "/");
  return CHECKED.test(path) && !EXEMPT.test(path);
}

function seamsVisitor(context: Deno.lint.RuleContext): Deno.lint.LintVisitor {
  const own = new Set<string>();
  const uses: Deno.lint.Identifier[] = [];
  const declare = (pattern: Pattern) => names(pattern).forEach((name) => own.add(name));
  return {
    VariableDeclarator: ({ id }) => declare(id),
    FunctionDeclaration: ({ id, params }) => [id, ...params].forEach(declare),
    FunctionExpression: ({ params }) => params.forEach(declare),
    ArrowFunctionExpression: ({ params }) => params.forEach(declare),
    ClassDeclaration: ({ id }) => declare(id),
    CatchClause: ({ param }) => declare(param),
    ImportSpecifier: ({ local }) => declare(local),
    ImportDefaultSpecifier: ({ local }) => declare(local),
    ImportNamespaceSpecifier: ({ local }) => declare(local),
    Identifier(node) {
      if ((Object.hasOwn(FORBIDDEN, node.name) || Object.hasOwn(PURE, node.name)) && isValue(node)) {
        uses.push(node);
      }
    },
    // Only now is it known what the file declares itself.
    "Program:exit"() {
      for (const node of uses) {
        const instead = own.has(node.name) ? null : FORBIDDEN[node.name] ?? impure(node);
        if (instead !== null) context.report({ node, message: `${node.name} is no seam: use ${instead}` });
      }
    },
  };
}

type Pattern = Deno.lint.Node | Deno.lint.Parameter | null;

/** The names that a declaration's left side brings in; a default value in it brings none. */
function names(pattern: Pattern): string[] {
  switch (pattern?.type) {
    case "Identifier":
      return [pattern.name];
    case "ObjectPattern":
      return pattern.properties.flatMap((each) =>
        names(each.type === "Property" ? each.value : each.argument)
      );
    case "ArrayPattern":
      return pattern.elements.flatMap(names);
    case "AssignmentPattern":
      return names(pattern.left);
    case "RestElement":
      return names(pattern.argument);
    case "TSParameterProperty":
      return names(pattern.parameter);
    default:
      return [];
  }
}

/** False for the name of a property, a type or a label, which are not the global of that name. */
function isValue(node: Deno.lint.Identifier): boolean {
  const { parent } = node;
  switch (parent.type) {
    case "MemberExpression":
      return parent.object === node || parent.computed;
    case "Property":
    case "PropertyDefinition":
    case "MethodDefinition":
      return parent.value === node || parent.computed;
    default:
      return !/^TS(TypeReference|TypeQuery|QualifiedName|PropertySignature|MethodSignature|EnumMember|InterfaceHeritage)$/
        .test(parent.type);
  }
}

/** Null for a pure use of a global that stays, else what to use. */
function impure(node: Deno.lint.Identifier): string | null {
  const rule = PURE[node.name];
  if (rule === undefined) return null;
  const { parent } = node;
  const pure = parent.type === "MemberExpression"
    ? !parent.computed && parent.property.type === "Identifier" && rule.members.test(parent.property.name)
    : node.name === "Date" && parent.type === "NewExpression" && parent.arguments.length > 0 ||
      parent.type === "BinaryExpression" && parent.operator === "instanceof";
  return pure ? null : rule.instead;
}

function stateVisitor(context: Deno.lint.RuleContext): Deno.lint.LintVisitor {
  const message = "A module keeps nothing: give it as a value, or keep it in what a factory returns";
  return {
    VariableDeclaration(node) {
      const { type } = node.parent;
      const atTop = type === "Program" || type === "ExportNamedDeclaration";
      if (atTop && (node.kind === "let" || node.kind === "var")) context.report({ node, message });
    },
  };
}

function backendsVisitor(context: Deno.lint.RuleContext): Deno.lint.LintVisitor {
  const check = (node: Deno.lint.Node, source: unknown) => {
    if (typeof source !== "string") return;
    const platform = source.startsWith("node:") && !PURE_MODULES.test(source);
    if (!platform && !/(^|\/)real_\w+\.ts$/.test(source)) return;
    context.report({ node, message: `${source} is a backend: take its interface, let main.ts choose` });
  };
  return {
    ImportDeclaration(node) {
      if (node.importKind !== "type") check(node, node.source.value);
    },
    ImportExpression(node) {
      if (node.source.type === "Literal") check(node, node.source.value);
    },
  };
}
