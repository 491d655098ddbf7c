/**
 * The API that the gateway serves: each method by namespace, its overloads by arity, and how each is federated.
 *
 * A row says which nodes are asked and how their answers become one; `calls.ts` says where the code of each policy is.
 * Source: the API catalogue of Uyuni; Java class names appear in faults.
 */

/** Entities that one node owns at a time, and those that every node has under the same natural key. */
export type OwnedKind = "system";
export type ContentKind = "channel";

export type Policy =
  /** Every node, no session: the lowest version counts, since a caller may rely on it everywhere. */
  | { policy: "lowest" }
  /** The node that owns the entity whose cluster id is the first argument after the key. */
  | { policy: "one"; kind: OwnedKind }
  /** Every node: one list, each entity as its owner shows it. */
  | { policy: "all"; kind: OwnedKind }
  /** Content, the same everywhere: one list, each natural key as the first node shows it. */
  | { policy: "any"; kind: ContentKind; naturalKey: string }
  /** The gateway's own sessions. */
  | { policy: "login" }
  | { policy: "logout" };

export type Method = Policy & {
  /** What a caller sends: `session` is the key, everything else goes on unchanged but for the id of `one`. */
  params: readonly ("session" | "value")[];
};

export interface Namespace {
  javaClass: string;
  /**
   * A key as first argument: `used` before anything else happens, `own` when the methods look it up themselves,
   * `surplus` when none is wanted: it is dropped, since spacecmd sends one always.
   */
  key: "used" | "own" | "surplus";
  methods: Readonly<Record<string, readonly Method[]>>;
}

const PACKAGE = "com.redhat.rhn.frontend.xmlrpc";

export const NAMESPACES: Readonly<Record<string, Namespace>> = {
  api: {
    javaClass: `${PACKAGE}.api.ApiHandler`,
    key: "surplus",
    methods: {
      getVersion: [{ params: [], policy: "lowest" }],
      systemVersion: [{ params: [], policy: "lowest" }],
    },
  },
  auth: {
    javaClass: `${PACKAGE}.auth.AuthHandler`,
    key: "own",
    methods: {
      login: [
        { params: ["value", "value"], policy: "login" },
        { params: ["value", "value", "value"], policy: "login" },
      ],
      logout: [{ params: ["value"], policy: "logout" }],
    },
  },
  channel: {
    javaClass: `${PACKAGE}.channel.ChannelHandler`,
    key: "used",
    methods: {
      listAllChannels: [{ params: ["session"], policy: "any", kind: "channel", naturalKey: "label" }],
    },
  },
  system: {
    javaClass: `${PACKAGE}.system.SystemHandler`,
    key: "used",
    methods: {
      listSystems: [{ params: ["session"], policy: "all", kind: "system" }],
      listUserSystems: [
        { params: ["session"], policy: "all", kind: "system" },
        { params: ["session", "value"], policy: "all", kind: "system" },
      ],
      getId: [{ params: ["session", "value"], policy: "all", kind: "system" }],
      getDetails: [{ params: ["session", "value"], policy: "one", kind: "system" }],
    },
  },
};
