/** Of everything in this repository; programs and the API say it. */
export const VERSION = "0.1.0";
