/**
 * `/rpc/api` over HTTP, byte for byte as Uyuni's servlet behaves.
 *
 * E1. Faults are answers: HTTP 200. What cannot be read as a call gets an empty page; what is no POST a redirect.
 * E2. What is no fault of the API (store gone, replica ending, a bug) is left to the host: its HTTP status tells load
 *     balancers to ask another replica.
 * E3. `X-Salar-Missing` names nodes whose part of an answer is missing, since XML-RPC has no place for it.
 */
import { HTTP_BODY_BYTES_MAX } from "../../lib/limits.ts";
import type { Context } from "../../lib/mesh/context.ts";
import type { RawRoute } from "../../lib/mesh/route.ts";
import { UyuniFault } from "../../lib/uyuni/faults.ts";
import { readCall, writeFault, writeResult, type XmlRpcCall, XmlRpcError } from "../../lib/uyuni/xmlrpc.ts";
import { answerCall } from "./calls.ts";

const PATH = "/rpc/api";
const MISSING_NAMES_MAX = 20;

export const callRoute: RawRoute = {
  name: "uyuni.call",
  method: "POST",
  path: PATH,
  // The credential is the Uyuni user's own session, in the call: `sessions.ts` and the nodes check it.
  role: "public",
  summary: "The XML-RPC API of Uyuni, for the whole cluster",
  handle: answerPost,
};

export const pageRoute: RawRoute = {
  name: "uyuni.page",
  method: "GET",
  path: PATH,
  role: "public",
  summary: "Where Uyuni sends browsers that come to its API",
  handle: () => Promise.resolve(redirect()),
};

async function answerPost(context: Context, request: Request): Promise<Response> {
  if (request.headers.has("soapaction")) return redirect();
  const call = read(new Uint8Array(await request.arrayBuffer()));
  if (call === null) return page("");
  try {
    const { value, silent } = await answerCall(context, call);
    return page(writeResult(value), silent);
  } catch (error) {
    if (error instanceof UyuniFault) return page(writeFault(error.code, error.text));
    throw error; // E2
  }
}

function read(body: Uint8Array): XmlRpcCall | null {
  try {
    return readCall(body, { bytesMax: HTTP_BODY_BYTES_MAX });
  } catch (error) {
    if (error instanceof XmlRpcError) return null;
    throw error;
  }
}

function page(text: string, silent: readonly string[] = []): Response {
  const headers = new Headers({ "content-type": "text/xml;charset=UTF-8", "cache-control": "no-store" });
  const names = silent.slice(0, MISSING_NAMES_MAX).map(encodeURIComponent).join(" ");
  if (names !== "") headers.set("x-salar-missing", names);
  return new Response(text, { headers });
}

function redirect(): Response {
  return new Response(null, { status: 302, headers: { location: "/rhn/apidoc/index.jsp" } });
}
