/** A million keys in the embedded store, in memory and in a file. */
import { openedInFile, openedInMemory } from "../../lib/store/sqlite_opened.ts";
import { storeLargeSuite } from "../../lib/store/store_suite_large.ts";

storeLargeSuite("sqlite in memory", openedInMemory);
storeLargeSuite("sqlite in a file", openedInFile);
