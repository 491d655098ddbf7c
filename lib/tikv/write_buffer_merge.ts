/** A scan of the snapshot with a transaction's own changes laid over it. */
import { compareKeys } from "./keys.ts";
import type { Own } from "./write_buffer.ts";

export interface Entry {
  key: Uint8Array;
  value: Uint8Array;
}

/**
 * @param pages Of the snapshot, in the order of the scan.
 * @param own In the same order.
 */
export async function* mergePages(
  pages: AsyncIterable<Entry[]>,
  own: readonly Own[],
  reverse: boolean,
): AsyncGenerator<Entry[]> {
  const order = reverse ? -1 : 1;
  let next = 0;
  for await (const page of pages) {
    const merged: Entry[] = [];
    for (const entry of page) {
      let hidden = false;
      for (; next < own.length; next++) {
        const mine = own[next] as Own;
        const compared = order * compareKeys(mine.key, entry.key);
        if (compared > 0) break;
        if (compared === 0) hidden = true;
        if (mine.value !== null) merged.push({ key: mine.key, value: mine.value });
      }
      if (!hidden) merged.push(entry);
    }
    yield merged;
  }
  yield own.slice(next).flatMap(({ key, value }) => value === null ? [] : [{ key, value }]);
}
