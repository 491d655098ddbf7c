/** Every bound of the language, with its unit. A state that meets one is refused by name; nothing is cut silently. */

/** One state or function file. */
export const FILE_BYTES_MAX = 1024 * 1024;
/** Values of one state file, those that aliases repeat counted each time. */
export const NODES_MAX = 100_000;
/** Mappings and lists inside each other, in a state or in what a function returns. */
export const DEPTH_MAX = 32;
/** States that include each other in one chain. */
export const CHAIN_MAX = 64;
/** Of one compiled plan. */
export const STEPS_MAX = 10_000;
/** Groups that a state comes to with its includes: states that include the one below twice would double each time. */
export const GROUPS_MAX = 10_000;

/** Work of all functions in one compilation: one for each expression, statement, table entry, match step or 16 bytes. */
export const LUA_STEPS_MAX = 5_000_000;
/** Bytes of strings and tables made in one compilation; what is dropped meanwhile is not given back. */
export const LUA_BYTES_MAX = 32 * 1024 * 1024;
/** Functions that have called each other. */
export const LUA_DEPTH_MAX = 100;
/** Of one block, as in Lua. */
export const LUA_LOCALS_MAX = 200;
/** Repetitions and captures of one pattern inside each other. */
export const PATTERN_DEPTH_MAX = 200;
export const PATTERN_CAPTURES_MAX = 32;
/** A text that stands for a number. */
export const NUMBER_CHARS_MAX = 200;

/** One module's file, or one that it imports; the largest that people ship are Go programs of some 20 MiB. */
export const MODULE_BYTES_MAX = 64 * 1024 * 1024;
/** Files that are looked at in a root's `modules`, and folders inside each other there. */
export const MODULE_FILES_MAX = 10_000;
export const MODULE_DEPTH_MAX = 16;
/** Python files of one bundle. */
export const IMPORTS_MAX = 4_000;
/** Files that a library remembers the imports and the packed bytes of; the most usual modules have 200. */
export const CONTENTS_REMEMBERED_MAX = 4_000;
/** Of a module's name to the name that a collection has for it now. */
export const REDIRECTS_MAX = 8;

/** Hosts at once in one run. */
export const JOBS = 50;
/** Hosts at once that are being connected to: each costs a key exchange. */
export const CONNECTS = 10;
export const STEP_MS = 30 * 60_000;
/** Of one host, in one run. */
export const RUN_MS = 2 * 60 * 60_000;
/** What a timer takes. */
export const LIMIT_MS_MAX = 2 ** 31 - 1;
/** A shorter secret could not be hidden in results without hiding half of what is said. */
export const SECRET_CHARS_MIN = 4;
/** Lines of a secret that are shorter are not looked for by themselves. */
export const SECRET_LINE_CHARS_MIN = 8;
/** Between two tries to reach a host that is starting; doubled each time, up to the second. */
export const RECONNECT_MS = 1_000;
export const RECONNECT_MS_MAX = 12_000;
/** Files, folders and links that one step sends. */
export const LOCAL_FILES_MAX = 10_000;
/** One file that is sent. */
export const LOCAL_FILE_BYTES_MAX = 1024 ** 3;

/** From the start of the channel to the agent's first words: what a login shell may take. */
export const AGENT_START_MS_MAX = 30_000;
/** What a login shell may print before them. */
export const AGENT_NOISE_BYTES_MAX = 1024 * 1024;
/** A content goes to the agent in frames of this size. */
export const BLOB_PIECE_BYTES_MAX = 1024 * 1024;
/** Of the agent for `sh`: outputs are counted, so its lines are short. */
export const SHELL_LINE_BYTES_MAX = 4096;
