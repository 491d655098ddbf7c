/**
 * One API call, from the method's name to its answer: session, overload, policy.
 *
 * C1. In Uyuni's order: namespace, session, overload, caller; so the same mistake gives the same fault.
 * C2. A first argument counts as a session only in the form of a key: Uyuni takes an integer for the user with that id.
 */
import { assert } from "../../lib/errors.ts";
import type { Context } from "../../lib/mesh/context.ts";
import { UyuniFault } from "../../lib/uyuni/faults.ts";
import type { XmlRpcCall, XmlRpcValue } from "../../lib/uyuni/xmlrpc.ts";
import type { Answer, Question } from "./asking.ts";
import { camelCase, javaType, USER_CLASS } from "./java.ts";
import { askContent, askOwners } from "./lists.ts";
import { logIn, logOut } from "./login.ts";
import { type Method, type Namespace, NAMESPACES } from "./methods.ts";
import { isSessionKey, type Session, useSession } from "./sessions.ts";
import { askLowest, askOne } from "./values.ts";

/** @throws {UyuniFault} */
export async function answerCall(context: Context, { method: sent, params }: XmlRpcCall): Promise<Answer> {
  const dot = Math.max(sent.lastIndexOf("."), 0);
  const space = sent.slice(0, dot);
  const namespace = ownMember(NAMESPACES, space);
  if (namespace === undefined) {
    throw UyuniFault.of("no-such-handler", "The specified handler cannot be found");
  }
  const name = camelCase(sent.slice(dot + 1));
  const { session, args } = await readSession(context, namespace, params);
  const types = [...(session === null ? [] : [USER_CLASS]), ...args.map(javaType)];
  const method = chooseOverload(namespace, name, types);
  if (method.params[0] === "session" && session === null) throw nobody(name, args[0] ?? "");

  const startMs = context.scope.monoMs();
  try {
    return await federate(context, method, { method: `${space}.${name}`, params: args, session });
  } finally {
    const labels = { method: `${space}.${name}` }; // only names of the table come here
    context.meter.timeMs("gateway_call", context.scope.monoMs() - startMs, labels);
  }
}

function federate(context: Context, method: Method, question: Question): Promise<Answer> {
  const { session } = question;
  switch (method.policy) {
    case "lowest":
      return askLowest(context, question);
    case "login":
      return logIn(context, question);
    case "logout":
      return logOut(context, question.params[0] ?? "");
  }
  assert(session !== null, `${question.method} was called with a session`);
  switch (method.policy) {
    case "one":
      return askOne(context, method.kind, { ...question, session });
    case "all":
      return askOwners(context, method.kind, { ...question, session });
    case "any":
      return askContent(context, method, { ...question, session });
  }
}

/** Takes the key from the arguments, where the namespace wants one or knows to drop it. */
async function readSession(
  context: Context,
  namespace: Namespace,
  params: readonly XmlRpcValue[],
): Promise<{ session: Session | null; args: readonly XmlRpcValue[] }> {
  const [key, ...args] = params;
  if (namespace.key === "own" || !isSessionKey(key)) return { session: null, args: params };
  return { session: namespace.key === "used" ? await useSession(context, key) : null, args };
}

/** By arity; types are the node's to check, since values go on as they are. */
function chooseOverload(
  { javaClass, methods }: Namespace,
  name: string,
  types: readonly string[],
): Method {
  const method = ownMember(methods, name)?.find(({ params }) => params.length === types.length);
  if (method !== undefined) return method;
  throw UyuniFault.of(
    "no-such-method",
    `Could not find method: ${name} in class: ${javaClass} with params: [${types.join(", ")}]`,
  );
}

/** C2. What a server of today says to a caller who is no user. */
function nobody(name: string, first: XmlRpcValue): UyuniFault {
  if (typeof first === "number" || typeof first === "bigint") {
    return UyuniFault.of("no-role", `The ${name} API is not available for unauthenticated users.`);
  }
  return UyuniFault.of(
    "bad-parameter",
    `Could not find translator for class ${javaType(first)} to interface com.redhat.rhn.domain.user.User`,
  );
}

/** "constructor" is no method. */
function ownMember<T>(table: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}
