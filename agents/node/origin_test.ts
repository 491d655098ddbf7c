import assert from "node:assert/strict";
import { isSalarError } from "../../lib/errors.ts";
import type { Catalogue } from "./catalogue.ts";
import { lsnText, parseLsn } from "./lsn.ts";
import {
  confirmedLsn,
  nameOf,
  nextOrigin,
  type Origin,
  readOrigin,
  reasonForNewOrigin,
  type Seen,
  slotOf,
} from "./origin.ts";
import { memoryDisk } from "./testing.ts";

const tables = [{ schema: "public", name: "rhnserver", columns: ["id", "name"] }];
const slot = { name: "salar_4", here: true, active: false, walStatus: "reserved", confirmed: "0/50" };

function seen(catalogue: Partial<Catalogue> = {}, system: Partial<Seen["system"]> = {}): Seen {
  return {
    catalogue: {
      database: "uyuni",
      role: "r",
      mayReplicate: true,
      mayCreate: true,
      walLevel: "logical",
      slotKeepMb: 1,
      slotsMax: 1,
      sendersMax: 1,
      slotsUsed: 1,
      tables: [],
      publication: { comment: null, complete: true, allTables: false, tables },
      slots: [slot],
      ...catalogue,
    },
    system: { systemId: "77", timeline: "1", flushedLsn: 0x100n, ...system },
  };
}

const last: Origin = {
  ...nextOrigin(null, seen({ slots: [] })),
  no: 4,
  copied: true,
  confirmed: lsnText(0x40n),
};

Deno.test("reasonForNewOrigin() goes on with what is unbroken", () => {
  assert.equal(reasonForNewOrigin(last, seen()), null);
  assert.equal(reasonForNewOrigin(last, seen({}, { flushedLsn: 0x40n })), null);
  assert.equal(reasonForNewOrigin(last, seen({ slots: [{ ...slot, walStatus: "extended" }] })), null);
});

Deno.test("reasonForNewOrigin() begins anew whenever something may have been missed", () => {
  const other = [{ schema: "public", name: "rhnserver", columns: ["id"] }];
  const cases: [Origin | null, Seen, RegExp][] = [
    [null, seen(), /first start/],
    [{ ...last, copied: false }, seen(), /copy did not end/],
    [last, seen({}, { systemId: "78" }), /another database system/],
    [last, seen({}, { timeline: "2" }), /timeline/],
    [last, seen({}, { flushedLsn: 0x3fn }), /set back/],
    [
      last,
      seen({ publication: { comment: null, complete: true, allTables: false, tables: other } }),
      /other tables/,
    ],
    [last, seen({ slots: [] }), /slot is gone/],
    [last, seen({ slots: [{ ...slot, name: "salar_5" }] }), /slot is gone/],
    [last, seen({ slots: [{ ...slot, here: false }] }), /slot is gone/],
    [last, seen({ slots: [{ ...slot, walStatus: "lost" }] }), /lost its log/],
  ];
  for (const [origin, what, reason] of cases) assert.match(reasonForNewOrigin(origin, what) ?? "", reason);
});

Deno.test("nextOrigin() takes a number above every one that was used, also when the state was lost", () => {
  assert.equal(nextOrigin(last, seen()).no, 5);
  assert.equal(nextOrigin(null, seen()).no, 5);
  assert.equal(nextOrigin(null, seen({ slots: [{ ...slot, name: "salar_9", here: false }] })).no, 10);
  assert.equal(nextOrigin(null, seen({ slots: [] })).no, 1);
  assert.equal(nameOf(last), "77.1.4");
  assert.equal(slotOf(last), "salar_4");
});

Deno.test("confirmedLsn() is the higher of file and slot", () => {
  assert.equal(confirmedLsn(last, seen().catalogue), 0x50n);
  assert.equal(confirmedLsn({ ...last, confirmed: lsnText(0x60n) }, seen().catalogue), 0x60n);
});

Deno.test("readOrigin() does not take a damaged file for a first start", async () => {
  const disk = memoryDisk();
  assert.equal(await readOrigin(disk, "o"), null);
  disk.put("o", "{}");
  await assert.rejects(readOrigin(disk, "o"), (error) => isSalarError(error, "bad-record"));
});

Deno.test("parseLsn() and lsnText() keep 64 bits", () => {
  assert.equal(lsnText(parseLsn("FFFFFFFF/FFFFFFFF")), "FFFFFFFFFFFFFFFF");
  assert.equal(parseLsn("16/B374D848"), 0x16b374d848n);
  assert.equal(lsnText(parseLsn("1/0")), "0000000100000000");
  for (const bad of ["", "1", "1/", "/1", "g/0", "123456789/0"]) assert.throws(() => parseLsn(bad));
});
