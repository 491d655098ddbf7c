/**
 * I5. One target per (system, epoch); a system is sent only to a node that has accepted its key.
 * I6. Outbox numbers rise by one, each with its entry. What was handed out is not withdrawn, nor the other way round.
 * I8. A system that is settled follows the node that owns it.
 */
import { keys } from "../../../lib/cluster/keys.ts";
import type { OutboxEntry } from "../../../lib/cluster/protocol.ts";
import type { Probe } from "../../../lib/seams.ts";
import type { Change, Seen } from "../seen.ts";
import type { World } from "../world.ts";
import { demand, type Rule } from "./rule.ts";

/** I5. */
export function sentOnce(seen: Seen, world: World): Rule {
  const targets = new Map<string, string>();
  const look = ({ kind, epoch, body }: OutboxEntry) => {
    if (kind !== "directive.move") return;
    const { system, node } = body;
    const at = `${system}@${epoch}`;
    const known = targets.get(at) ?? node;
    const sent = `system ${system} is sent to ${seen.nameOf(node)}`;
    demand(known === node, "I5 one target per epoch", `${sent} and ${seen.nameOf(known)} at epoch ${epoch}`);
    targets.set(at, node);
    const knows = world.hasAccepted(node, seen.systems.get(system)?.minionId ?? "");
    demand(knows, "I5 sent only where its key is accepted", sent);
  };
  return {
    look(changes) {
      for (const { room, before, after } of changes) {
        if (room === "outbox" && before === null && after !== null) look(after);
      }
    },
  };
}

/** I6. */
export function numbered(): Rule {
  return {
    look(changes) {
      for (const { room, key, parts, before, after } of changes) {
        if (room !== "outbox-head" || after === null) continue;
        const { last, sent } = before ?? { last: 0, sent: 0 };
        demand(
          after.last >= last && after.sent >= sent && after.sent <= after.last,
          "I6 outbox numbers rise",
          `${key}: ${last}/${sent} → ${after.last}/${after.sent}`,
        );
        for (let seq = last + 1; seq <= after.last; seq++) {
          const entry = keys.outbox(parts[0] ?? "", seq);
          const isThere = changes.some((each) => each.key === entry && each.after !== null);
          demand(isThere, "I6 a number has its entry", `${key}: ${seq} has none`);
        }
      }
    },
  };
}

/** I6. Agents' reports take an entry out; whoever else does so withdraws it. */
export function handedOrWithdrawn(probe: Probe): Rule {
  const sent = new Map<string, number>();
  const withdrawn = new Set<string>();
  return {
    look(changes) {
      const who = authorOf(changes);
      for (const { room, key, parts, before, after } of changes) {
        if (room !== "outbox" || before === null || after !== null || who === null || isAgent(who)) continue;
        probe.sometimes("a directive is withdrawn");
        const isKept = (sent.get(parts[0] ?? "") ?? 0) < Number(parts[1]);
        demand(isKept, "I6 what was handed out is not withdrawn", `${key} by ${who}`);
        withdrawn.add(key);
      }
      for (const { room, parts, before, after } of changes) {
        if (room !== "outbox-head" || after === null || after.sent === (before?.sent ?? 0)) continue;
        const [fp = ""] = parts;
        const last = keys.outbox(fp, after.sent); // those before it may have been withdrawn, and passed over
        demand(!withdrawn.has(last), "I6 what was withdrawn is not handed out", last);
        sent.set(fp, after.sent);
      }
    },
  };
}

/** I8. */
export function following(seen: Seen, world: World): Rule {
  return {
    look(changes) {
      for (const { room, before, after } of changes) {
        if (room !== "system" || before === null || after === null || after.epoch === 0) continue;
        const { node, minionId, epoch } = after;
        if (
          node === null || after.state === "deleted" || (before.node === node && before.state !== "deleted")
        ) {
          continue;
        }
        const settles = `${minionId} settles on ${seen.nameOf(node)} at epoch ${epoch}`;
        const master = world.masterOf(minionId);
        demand(
          master === world.nodeOf(node)?.master,
          "I8 it follows its owner",
          `${settles}, but follows ${master}`,
        );
        const knows = world.hasAccepted(node, minionId);
        demand(knows, "I8 its owner has accepted its key", `${settles}, which does not know its key`);
      }
    },
  };
}

/** Who made the transaction; null for one that decided nothing. */
function authorOf(changes: readonly Change[]): string | null {
  for (const { room, after } of changes) if (room === "audit" && after !== null) return after.who;
  return null;
}

function isAgent(who: string): boolean {
  return /^(system|node):/.test(who);
}
