/**
 * `/rpc/api` as Uyuni's servlet answers it: one request in, one answer out.
 *
 * E1. A call is one transaction: a fault leaves nothing of it behind, but its session lives on all the same.
 * E2. Only what can be read as a call gets a fault; other bodies get an empty page, other methods a redirect.
 * Source: Uyuni's `XmlRpcServlet` and `BaseHandler`, redstone's `XmlRpcDispatcher`.
 */
import { UyuniFault } from "../../lib/uyuni/faults.ts";
import { readCall, writeFault, writeResult, XmlRpcError } from "../../lib/uyuni/xmlrpc.ts";
import type { XmlRpcCall, XmlRpcValue } from "../../lib/uyuni/xmlrpc.ts";
import { HANDLERS } from "./calls.ts";
import { findOne } from "./db.ts";
import type { CallContext, Handler } from "./handler.ts";
import { type Argument, choose, LoggedIn } from "./overloads.ts";
import { isSessionKey, type User } from "./sessions.ts";

/** All of a call's context that does not change from call to call. */
export type Server = Omit<CallContext, "tx" | "nowMs" | "afterwards"> & { nowMs: () => number };

const PATHS: ReadonlySet<string> = new Set(["/rpc/api", "/rhn/rpc/api"]);
/** Names that may be called by a user that may only read. */
const READS = /^(list|get|is|find)/;

export async function answer(server: Server, request: Request): Promise<Response> {
  if (!PATHS.has(new URL(request.url).pathname)) return new Response("Not Found", { status: 404 });
  if (request.method !== "POST" || request.headers.has("soapaction")) {
    return new Response(null, { status: 302, headers: { location: "/rhn/apidoc/index.jsp" } });
  }
  const body = new Uint8Array(await request.arrayBuffer());
  return new Response(await answerBody(server, body), {
    headers: { "content-type": "text/xml;charset=UTF-8" },
  });
}

async function answerBody(server: Server, body: Uint8Array): Promise<string> {
  let call: XmlRpcCall;
  try {
    call = readCall(body);
  } catch (error) {
    if (error instanceof XmlRpcError) return "";
    throw error;
  }
  try {
    return writeResult(await dispatch(server, call));
  } catch (error) {
    const { code, text } = faultOf(error);
    return writeFault(code, text);
  }
}

function faultOf(error: unknown): UyuniFault {
  if (error instanceof UyuniFault) return error;
  const message = error instanceof Error ? error.message : String(error);
  return UyuniFault.of("internal", `unhandled internal exception: ${message}`);
}

async function dispatch(server: Server, { method: name, params }: XmlRpcCall): Promise<XmlRpcValue | null> {
  const dot = name.lastIndexOf(".");
  const handler = HANDLERS.get(name.slice(0, Math.max(dot, 0)));
  if (handler === undefined) throw UyuniFault.of("no-such-handler", "The specified handler cannot be found");
  const method = beanify(name.slice(dot + 1));

  const { db, nowMs, sessions } = server;
  const args: Argument[] = [...params];
  const [key] = params;
  let user: User | undefined;
  if (typeof key === "string" && isSessionKey(key) && !handler.looksUpSessions) {
    user = await db.transaction((tx) => sessions.use(tx, key)); // E1
    args[0] = new LoggedIn(user);
  }

  const afterwards: (() => Promise<unknown>)[] = [];
  const result = await db.transaction(async (tx) => {
    // `Object.hasOwn`: "constructor" is no method.
    const overloads = Object.hasOwn(handler.methods, method) ? handler.methods[method] ?? [] : [];
    const named = { method, javaClass: handler.javaClass, overloads };
    const chosen = await choose(named, args, (id) => findOne(tx, "web_contact", { id }));
    checkAccess(handler, method, user);
    const after = (work: () => Promise<unknown>) => afterwards.push(work);
    return await chosen.overload.run({ ...server, tx, nowMs: nowMs(), afterwards: after }, chosen.args);
  });
  for (const work of afterwards) await work();
  return result;
}

/** Who may not call is told only once it is clear what would be called. */
function checkAccess(handler: Handler, method: string, user: User | undefined): void {
  if (user?.read_only === "Y" && !READS.test(method)) {
    throw UyuniFault.of("read-only-user", `The ${method} API is not available to read-only API users`);
  }
  if (user === undefined && !handler.open) {
    throw UyuniFault.of("no-role", `The ${method} API is not available for unauthenticated users.`);
  }
}

/** `list_all-channels` → `listAllChannels`: what is neither letter nor digit goes, the letter behind it grows. */
function beanify(name: string): string {
  return name.replace(
    /[^A-Za-z0-9]+(.)?/g,
    (_match, letter: string | undefined) => letter?.toUpperCase() ?? "",
  );
}
