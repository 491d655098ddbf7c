/** Of the tool, as `salar --version` prints it. */
export const VERSION = "0.1.0";
