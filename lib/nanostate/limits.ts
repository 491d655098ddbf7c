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
