/**
 * Credentials: API tokens of people and automation, join tokens of agents. The secret half is shown once, in the answer
 * that makes it, and kept as its hash only.
 */
import { z } from "zod";
import { API_TOKEN_MS_MAX, JOIN_TOKEN_MS } from "../../lib/limits.ts";
import { SalarError } from "../../lib/errors.ts";
import { change } from "../../lib/cluster/change.ts";
import { removeJoinToken, usesLeft } from "../../lib/cluster/join_tokens.ts";
import { keys } from "../../lib/cluster/keys.ts";
import { apiTokens, joinTokens, zoneNamed } from "../../lib/cluster/records.ts";
import { ApiToken, JoinToken, MachineId, ZoneName } from "../../lib/cluster/types.ts";
import { mintJoinToken, mintToken, TOKEN_RANDOM_BYTES } from "../../lib/secure/token.ts";
import type { Write } from "../../lib/store/store.ts";
import { done } from "../../lib/mesh/handler.ts";
import { route } from "../../lib/mesh/route.ts";
import { asked, pageOf, PageQuery, Why } from "./shapes.ts";

const TokenParams = z.object({ id: z.string().regex(/^[A-Za-z0-9_-]{16}$/) });
const ApiTokenView = ApiToken.omit({ secretHash: true });
export const JoinTokenView = JoinToken.omit({ secretHash: true }).extend({
  usesLeft: z.int().min(0).describe("How many enrolments it still allows"),
});
const Shown = z.string().describe("The whole token, shown this once");

const addApi = route({
  name: "tokens.add",
  method: "POST",
  path: "/v1/tokens",
  role: "admin",
  summary: "Make an API token",
  body: z.object({
    name: z.string().min(1).max(100),
    role: ApiToken.shape.role,
    ttlMs: z.int().min(60_000).max(API_TOKEN_MS_MAX).default(API_TOKEN_MS_MAX),
  }),
  reply: ApiTokenView.extend({ token: Shown }),
  status: 201,
  secretReply: true,
  async run(context, { body, principal }) {
    const minted = mintToken(context.scope.random.bytes(TOKEN_RANDOM_BYTES));
    const view = await change(context, { who: principal.id }, ({ tx, nowMs, record }) => {
      const { ttlMs, name, role } = body;
      const view = {
        v: 1 as const,
        id: minted.id,
        role,
        name,
        createdAtMs: nowMs,
        expiresAtMs: nowMs + ttlMs,
      };
      apiTokens.put(tx, { ...view, secretHash: minted.secretHash }, minted.id);
      record({ what: "token.add", target: `token:${minted.id}`, why: name, detail: { role } });
      return Promise.resolve(view);
    });
    return done({ ...view, token: minted.token.reveal() });
  },
});

const addJoin = route({
  name: "join.add",
  method: "POST",
  path: "/v1/join-tokens",
  role: "admin",
  summary: "Make a join token, with which one agent enrols once",
  body: z.object({
    kind: JoinToken.shape.kind,
    zone: ZoneName,
    uses: z.int().min(1).max(10_000).default(1).describe(
      "More than 1 for images that many machines start from",
    ),
    ttlMs: z.int().min(1_000).max(30 * 24 * 3_600_000).default(JOIN_TOKEN_MS),
    machineId: MachineId.nullable().default(null),
  }),
  reply: JoinTokenView.extend({ token: Shown }),
  status: 201,
  secretReply: true,
  async run(context, { body, principal }) {
    // The pin is the cluster key's fingerprint: an agent that holds the token knows whom it may believe.
    const minted = mintJoinToken(context.scope.random.bytes(TOKEN_RANDOM_BYTES), context.signer.fp);
    const view = await change(context, { who: principal.id }, async ({ tx, nowMs, record }) => {
      const { kind, zone, uses, ttlMs, machineId } = body;
      await zoneNamed(tx, zone);
      const { id } = minted;
      const view = {
        v: 1 as const,
        id,
        kind,
        zone,
        uses,
        expiresAtMs: nowMs + ttlMs,
        machineId,
        maker: principal.id,
        run: null,
      };
      joinTokens.put(tx, { ...view, secretHash: minted.secretHash }, id);
      record({ what: "join.add", target: `join-token:${id}`, why: `for a ${kind}`, detail: { zone, uses } });
      return { ...view, usesLeft: uses };
    });
    return done({ ...view, token: minted.token.reveal() });
  },
});

const listApi = route({
  name: "tokens.list",
  method: "GET",
  path: "/v1/tokens",
  role: "admin",
  summary: "List API tokens, without their secrets",
  query: PageQuery,
  reply: pageOf(ApiTokenView),
  async run({ store, scope }, { query }) {
    const after = query.cursor && keys.token(query.cursor);
    const page = await store.read(
      scope,
      (tx) => apiTokens.scan(tx, keys.tokens, { limit: query.limit, after }),
    );
    const items = page.map(({ value }) => ApiTokenView.parse(value));
    return done({ items, next: items.length < query.limit ? null : items.at(-1)?.id ?? null });
  },
});

const listJoin = route({
  name: "join.list",
  method: "GET",
  path: "/v1/join-tokens",
  role: "admin",
  summary: "List join tokens, without their secrets",
  query: PageQuery,
  reply: pageOf(JoinTokenView),
  async run({ store, scope }, { query }) {
    const after = query.cursor && keys.joinToken(query.cursor);
    const items = await store.read(scope, async (tx) => {
      const page = await joinTokens.scan(tx, keys.joinTokens, { limit: query.limit, after });
      return await Promise.all(
        page.map(async ({ value }) => JoinTokenView.parse({ ...value, usesLeft: await usesLeft(tx, value) })),
      );
    });
    return done({ items, next: items.length < query.limit ? null : items.at(-1)?.id ?? null });
  },
});

/** Removing is alike for both kinds but for the keys. */
function removal(
  name: string,
  path: string,
  { keyOf, remove, summary }: {
    keyOf: (id: string) => string;
    remove: (tx: Write, id: string) => Promise<void>;
    summary: string;
  },
) {
  return route({
    name: `${name}.remove`,
    method: "DELETE",
    path: `${path}/{id}`,
    role: "admin",
    summary,
    params: TokenParams,
    query: z.object({ why: Why }),
    reply: z.object({ removed: z.string() }),
    async run(context, input) {
      const { id } = input.params;
      await change(context, asked(input), async ({ tx, record }) => {
        if (await tx.get(keyOf(id)) === null) {
          throw new SalarError("not-found", `Cannot remove token "${id}": there is none`);
        }
        await remove(tx, id);
        record({ what: `${name}.remove`, target: keyOf(id).replace("/", ":"), why: input.query.why });
      });
      return done({ removed: id });
    },
  });
}

export const tokenRoutes = [
  addApi,
  listApi,
  removal("tokens", "/v1/tokens", {
    keyOf: keys.token,
    remove: (tx, id) => Promise.resolve(apiTokens.delete(tx, id)),
    summary: "Revoke an API token",
  }),
  addJoin,
  listJoin,
  removal("join", "/v1/join-tokens", {
    keyOf: keys.joinToken,
    remove: removeJoinToken,
    summary: "Revoke a join token",
  }),
];
