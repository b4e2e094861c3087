// What build.mjs fills in.

/** The version of this build: a hash of its files. */
declare const VERSION: string;
/** The files that a visit needs: their path in the site, and their hash as a request has it ("integrity"). */
declare const FILES: Record<string, string>;
