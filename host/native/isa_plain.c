/* The arithmetic for every processor that the compiler builds for: SSE2 on x86, NEON on ARM. */
#define LANES 4
#define TILE_ROWS 4
#define ISA isa_plain
#if defined(__ARM_NEON)
#define ISA_NAME "neon"
#else
#define ISA_NAME "plain"
#endif
#include "model.h"
