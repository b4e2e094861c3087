// What build.mjs fills in.

/** The version of this build: a hash of its files. */
declare const VERSION: string;
/** The files that a visit needs, by their path in the site. */
declare const FILES: string[];
