/**
 * Which Java method a call ends in, and with which arguments: Uyuni's reflection, conversions and their faults.
 *
 * O1. Candidates have the name and as many parameters. Those whose types all fit win; else values are converted.
 * O2. Nothing turns a string into an integer.
 * Source: Uyuni's `BaseHandler.invoke` and `Translator`.
 */
import { UyuniFault } from "../../lib/uyuni/faults.ts";
import { isStruct, XmlRpcDate, XmlRpcDouble } from "../../lib/uyuni/xmlrpc.ts";
import type { XmlRpcStruct, XmlRpcValue } from "../../lib/uyuni/xmlrpc.ts";
import type { User } from "./sessions.ts";

/** Parameter types of the methods, by the names of this file, and what a method gets for them. */
interface ParamTypes {
  user: User;
  string: string;
  int: number;
  boolean: boolean;
  date: XmlRpcDate;
  list: readonly XmlRpcValue[];
  map: XmlRpcStruct;
}
export type ParamType = keyof ParamTypes;

/** A wire value, or the user that stands where the session key stood. */
export type Argument = XmlRpcValue | LoggedIn;

export class LoggedIn {
  constructor(readonly user: User) {}
}

export interface Overload<Context> {
  params: readonly ParamType[];
  run(context: Context, args: readonly unknown[]): Promise<XmlRpcValue | null>;
}

/** One Java method. `run` gets its arguments in the types that `params` names. */
export function overload<Context, const P extends readonly ParamType[]>(
  params: P,
  run: (
    context: Context,
    ...args: { -readonly [I in keyof P]: ParamTypes[P[I]] }
  ) => Promise<XmlRpcValue | null>,
): Overload<Context> {
  return {
    params,
    run: (context, args) => run(context, ...args as { -readonly [I in keyof P]: ParamTypes[P[I]] }),
  };
}

/** Looks up the user with an id: the surprising conversion of an integer where a user belongs. */
export type UserById = (id: number) => Promise<User | null>;

export interface Chosen<Context> {
  overload: Overload<Context>;
  args: unknown[];
}

/** @throws {UyuniFault} `no-such-method` or `bad-parameter` */
export async function choose<Context>(
  { method, javaClass, overloads }: {
    method: string;
    javaClass: string;
    overloads: readonly Overload<Context>[];
  },
  args: readonly Argument[],
  userById: UserById,
): Promise<Chosen<Context>> {
  const candidates = overloads.filter(({ params }) => params.length === args.length);
  if (candidates.length === 0) {
    const types = args.map(javaType).join(", ");
    throw UyuniFault.of(
      "no-such-method",
      `Could not find method: ${method} in class: ${javaClass} with params: [${types}]`,
    );
  }
  for (const candidate of candidates) {
    const fits = candidate.params.every((type, i) => fit(args[i] ?? "", type) !== undefined);
    if (fits) {
      return {
        overload: candidate,
        args: candidate.params.map((type, i) => fit(args[i] ?? "", type)),
      };
    }
  }

  const converted: Chosen<Context>[] = [];
  let failure: UyuniFault | undefined;
  for (const candidate of candidates) {
    try {
      const values: unknown[] = [];
      for (const [i, type] of candidate.params.entries()) {
        values.push(await convert(args[i] ?? "", type, userById));
      }
      converted.push({ overload: candidate, args: values });
    } catch (error) {
      if (!(error instanceof UyuniFault)) throw error;
      failure ??= error;
    }
  }
  const [only, second] = converted;
  if (second !== undefined) {
    throw UyuniFault.of("bad-parameter", "more than one method candidate found during conversion fallback");
  }
  if (only === undefined) throw failure ?? UyuniFault.of("bad-parameter", "Could not find translator");
  return only;
}

/** The value for a parameter of exactly this type; undefined when it is of another. */
function fit(arg: Argument, type: ParamType): unknown {
  switch (type) {
    case "user":
      return arg instanceof LoggedIn ? arg.user : undefined;
    case "string":
      return typeof arg === "string" ? arg : undefined;
    case "int":
      return typeof arg === "number" ? arg : undefined;
    case "boolean":
      return typeof arg === "boolean" ? arg : undefined;
    case "date":
      return arg instanceof XmlRpcDate ? arg : undefined;
    case "list":
      return Array.isArray(arg) ? arg : undefined;
    case "map":
      return !(arg instanceof LoggedIn) && isStruct(arg) ? arg : undefined;
  }
}

async function convert(arg: Argument, type: ParamType, userById: UserById): Promise<unknown> {
  const fitting = fit(arg, type);
  if (fitting !== undefined) return fitting;

  if (type === "user" && typeof arg === "number") {
    const user = await userById(arg);
    if (user !== null) return user;
  }
  if (type === "int" && typeof arg === "bigint") return Number(BigInt.asIntN(32, arg));
  if (type === "boolean" && (typeof arg === "number" || typeof arg === "bigint")) return Number(arg) === 1;
  if (type === "boolean" && typeof arg === "string") return /^(1|y|true)$/i.test(arg);
  if (type === "list" && typeof arg === "number") return [arg];
  if (type === "string" && !(arg instanceof LoggedIn) && !(arg instanceof Uint8Array)) return javaText(arg);
  throw UyuniFault.of(
    "bad-parameter",
    `Could not find translator for class ${javaType(arg)} to ${JAVA_WANTED[type]}`,
  );
}

const JAVA_WANTED: Record<ParamType, string> = {
  user: "interface com.redhat.rhn.domain.user.User",
  string: "class java.lang.String",
  int: "class java.lang.Integer",
  boolean: "class java.lang.Boolean",
  date: "class java.util.Date",
  list: "interface java.util.List",
  map: "interface java.util.Map",
};

function javaType(arg: Argument): string {
  if (arg instanceof LoggedIn) return "com.redhat.rhn.domain.user.legacy.UserImpl";
  if (typeof arg === "string") return "java.lang.String";
  if (typeof arg === "number") return "java.lang.Integer";
  if (typeof arg === "bigint") return "java.lang.Long";
  if (typeof arg === "boolean") return "java.lang.Boolean";
  if (arg instanceof XmlRpcDouble) return "java.lang.Double";
  if (arg instanceof XmlRpcDate) return "java.util.Date";
  if (arg instanceof Uint8Array) return "[B";
  return Array.isArray(arg) ? "redstone.xmlrpc.XmlRpcArray" : "redstone.xmlrpc.XmlRpcStruct";
}

/** `toString` of Java: `[a, b]` for lists, `{k=v, l=w}` for maps. */
function javaText(value: XmlRpcValue): string {
  if (value instanceof XmlRpcDate) return value.text;
  if (value instanceof XmlRpcDouble) {
    return Number.isInteger(value.value) ? `${value.value}.0` : `${value.value}`;
  }
  if (Array.isArray(value)) return `[${value.map(javaText).join(", ")}]`;
  if (isStruct(value)) {
    return `{${Object.entries(value).map(([name, its]) => `${name}=${javaText(its)}`).join(", ")}}`;
  }
  return String(value);
}
