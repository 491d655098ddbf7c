/**
 * Cuts transactions and first copies into messages that fit the bus.
 *
 * In: row changes at one position after another. Out: `Changes`, each within CHANGES_PER_MESSAGE_MAX and
 * CHANGES_BYTES_MAX.
 * P1. Order is kept; `first` counts on through the parts of one position, so (lsn, first + index) never repeats.
 *     All parts of a position but the last say that more follow.
 * P2. A single row that is too large alone loses its largest values, as if they were unchanged: the alternative is
 *     a capture that stands still for ever. `onCut` hears of it.
 */
import type { Changes, RowChange } from "../../lib/cluster/protocol.ts";
import { CHANGES_BYTES_MAX, CHANGES_PER_MESSAGE_MAX } from "../../lib/limits.ts";
import { lsnText } from "./lsn.ts";

/** Origin, LSN, braces and names around the changes. */
const FRAME_BYTES = 512;

export interface PartsOptions {
  origin: string;
  originNo: number;
  emit: (part: Changes) => void;
  onCut: (table: string, columns: string[]) => void;
}

export interface Parts {
  /** Starts at a position. */
  begin(lsn: bigint, index: number): void;
  add(change: RowChange): void;
  /** Emits what is left of this position; nothing for a position without changes. */
  end(): void;
}

export function parts({ origin, originNo, emit, onCut }: PartsOptions): Parts {
  let lsn = 0n;
  let first = 0;
  let changes: RowChange[] = [];
  let bytes = FRAME_BYTES;

  function cut({ more }: { more: boolean }): void {
    if (changes.length === 0) return;
    emit({ origin, originNo, lsn: lsnText(lsn), first, more, changes });
    first += changes.length;
    changes = [];
    bytes = FRAME_BYTES;
  }

  return {
    begin(at, index) {
      lsn = at;
      first = index;
    },
    add(given) {
      const change = fit(given, onCut);
      const size = sizeOf(change);
      if (changes.length === CHANGES_PER_MESSAGE_MAX || bytes + size > CHANGES_BYTES_MAX) {
        cut({ more: true });
      }
      changes.push(change);
      bytes += size;
    },
    end: () => cut({ more: false }),
  };
}

/** Bytes of its JSON and of the comma behind it. */
function sizeOf(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value)) + 1;
}

function fit(change: RowChange, onCut: PartsOptions["onCut"]): RowChange {
  if (FRAME_BYTES + sizeOf(change) <= CHANGES_BYTES_MAX) return change;
  const row = { ...change.row };
  const cut: string[] = [];
  // Ends: key columns are indexed, so PostgreSQL itself keeps them below 3 KB.
  const bySize = Object.keys(row).sort((a, b) => sizeOf(row[b]) - sizeOf(row[a]));
  for (const column of bySize) {
    if (FRAME_BYTES + sizeOf({ ...change, row }) <= CHANGES_BYTES_MAX) break;
    delete row[column];
    cut.push(column);
  }
  onCut(change.table, cut);
  return { ...change, row };
}
