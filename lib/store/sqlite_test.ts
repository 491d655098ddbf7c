/** The embedded store passes the suite. What is its own, such as age and faults: `sqlite_own_test.ts`. */
import { openedInFile, openedInMemory } from "./sqlite_opened.ts";
import { storeSuite } from "./store_suite.ts";

storeSuite("sqlite in memory", openedInMemory, { durable: false });
storeSuite("sqlite in a file", openedInFile, { durable: true });
