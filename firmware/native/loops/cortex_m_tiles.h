/* Matrix products of a Cortex-M with a floating-point unit: a part of cortex_m.h.
 *
 * Its 32 registers hold a tile of 4 rows and 4 columns in s0 to s15, and two steps along `depth`
 * of both operands in s16 to s31. One instruction loads the two steps of a row or column if they
 * are neighbours in memory (ALONG), or else one step of all four (ACROSS): two steps take 32
 * vfma, 4 to 8 loads, 0 to 4 additions, and 2 for the loop.
 */

enum { COLUMNS = 4 };

#define ROW(sum0, sum1, sum2, sum3, a, b0, b1, b2, b3)                                        \
    "vfma.f32 " sum0 ", " a ", " b0 "\n"                                                      \
    "vfma.f32 " sum1 ", " a ", " b1 "\n"                                                      \
    "vfma.f32 " sum2 ", " a ", " b2 "\n"                                                      \
    "vfma.f32 " sum3 ", " a ", " b3 "\n"

#define STEP(a, b) STEP_OF(a, b) /* with the four registers of each */
#define STEP_OF(a0, a1, a2, a3, ...)                                                          \
    ROW("s0", "s1", "s2", "s3", a0, __VA_ARGS__)                                              \
    ROW("s4", "s5", "s6", "s7", a1, __VA_ARGS__)                                              \
    ROW("s8", "s9", "s10", "s11", a2, __VA_ARGS__)                                            \
    ROW("s12", "s13", "s14", "s15", a3, __VA_ARGS__)

#define LOAD_A_ALONG                                                                          \
    "vldmia %[a0]!, {s16, s17}\n"                                                             \
    "vldmia %[a1]!, {s18, s19}\n"                                                             \
    "vldmia %[a2]!, {s20, s21}\n"                                                             \
    "vldmia %[a3]!, {s22, s23}\n"
#define A0_ALONG "s16", "s18", "s20", "s22"
#define A1_ALONG "s17", "s19", "s21", "s23"
#define LAST_A_ALONG                                                                          \
    "vldr s16, [%[a0]]\n"                                                                     \
    "vldr s18, [%[a1]]\n"                                                                     \
    "vldr s20, [%[a2]]\n"                                                                     \
    "vldr s22, [%[a3]]\n"

#define LOAD_A_ACROSS                                                                         \
    "vldmia %[a0], {s16-s19}\n"                                                               \
    "add %[a0], %[a_step]\n"                                                                  \
    "vldmia %[a0], {s20-s23}\n"                                                               \
    "add %[a0], %[a_step]\n"
#define A0_ACROSS "s16", "s17", "s18", "s19"
#define A1_ACROSS "s20", "s21", "s22", "s23"
#define LAST_A_ACROSS "vldmia %[a0], {s16-s19}\n"

#define LOAD_B_ALONG                                                                          \
    "vldmia %[b0]!, {s24, s25}\n"                                                             \
    "vldmia %[b1]!, {s26, s27}\n"                                                             \
    "vldmia %[b2]!, {s28, s29}\n"                                                             \
    "vldmia %[b3]!, {s30, s31}\n"
#define B0_ALONG "s24", "s26", "s28", "s30"
#define B1_ALONG "s25", "s27", "s29", "s31"
#define LAST_B_ALONG                                                                          \
    "vldr s24, [%[b0]]\n"                                                                     \
    "vldr s26, [%[b1]]\n"                                                                     \
    "vldr s28, [%[b2]]\n"                                                                     \
    "vldr s30, [%[b3]]\n"

#define LOAD_B_ACROSS                                                                         \
    "vldmia %[b0], {s24-s27}\n"                                                               \
    "add %[b0], %[b_step]\n"                                                                  \
    "vldmia %[b0], {s28-s31}\n"                                                               \
    "add %[b0], %[b_step]\n"
#define B0_ACROSS "s24", "s25", "s26", "s27"
#define B1_ACROSS "s28", "s29", "s30", "s31"
#define LAST_B_ACROSS "vldmia %[b0], {s24-s27}\n"

#define TILE(a, b)                                                                            \
    "vmov d0, %[n], %[n]\n"                                                                   \
    "vmov d1, %[n], %[n]\n"                                                                   \
    "vmov d2, %[n], %[n]\n"                                                                   \
    "vmov d3, %[n], %[n]\n"                                                                   \
    "vmov d4, %[n], %[n]\n"                                                                   \
    "vmov d5, %[n], %[n]\n"                                                                   \
    "vmov d6, %[n], %[n]\n"                                                                   \
    "vmov d7, %[n], %[n]\n"                                                                   \
    "lsrs %[n], %[depth], #1\n"                                                               \
    "beq 2f\n"                                                                                \
    "1:\n"                                                                                    \
    LOAD_A_##a LOAD_B_##b STEP(A0_##a, B0_##b) STEP(A1_##a, B1_##b)                           \
    "subs %[n], #1\n"                                                                         \
    "bne 1b\n"                                                                                \
    "2:\n"                                                                                    \
    "lsrs %[n], %[depth], #1\n"                                                               \
    "bcc 3f\n"                                                                                \
    LAST_A_##a LAST_B_##b STEP(A0_##a, B0_##b)                                                \
    "3:\n"                                                                                    \
    "vstmia %[out], {s0-s3}\n"                                                                \
    "add %[out], %[out_row]\n"                                                                \
    "vstmia %[out], {s4-s7}\n"                                                                \
    "add %[out], %[out_row]\n"                                                                \
    "vstmia %[out], {s8-s11}\n"                                                               \
    "add %[out], %[out_row]\n"                                                                \
    "vstmia %[out], {s12-s15}\n"

#define ALL_REGISTERS                                                                         \
    "s24", "s25", "s26", "s27", "s28", "s29", "s30", "s31", SIX_ARRAYS

/* Which of the strides is 1 is known where this is inlined, so that one of the three remains. */
INLINE void tile_4(float *out, int out_row, const float *a, int a_row, int a_step, const float *b,
                   int b_step, int b_column, int depth, enum order order) {
    const float *a1 = a + a_row, *a2 = a1 + a_row, *a3 = a2 + a_row;
    const float *b1 = b + b_column, *b2 = b1 + b_column, *b3 = b2 + b_column;
    int n = 0;
    if (order == ALONG_ALONG) {
        __asm__ volatile(TILE(ALONG, ALONG)
                         : [n] "+r"(n), [out] "+r"(out), [a0] "+r"(a), [a1] "+r"(a1),
                           [a2] "+r"(a2), [a3] "+r"(a3), [b0] "+r"(b), [b1] "+r"(b1),
                           [b2] "+r"(b2), [b3] "+r"(b3)
                         : [depth] "r"(depth), [out_row] "r"(out_row * 4)
                         : ALL_REGISTERS);
    } else if (order == ALONG_ACROSS) {
        __asm__ volatile(TILE(ALONG, ACROSS)
                         : [n] "+r"(n), [out] "+r"(out), [a0] "+r"(a), [a1] "+r"(a1),
                           [a2] "+r"(a2), [a3] "+r"(a3), [b0] "+r"(b)
                         : [depth] "r"(depth), [out_row] "r"(out_row * 4),
                           [b_step] "r"(b_step * 4)
                         : ALL_REGISTERS);
    } else {
        __asm__ volatile(TILE(ACROSS, ACROSS)
                         : [n] "+r"(n), [out] "+r"(out), [a0] "+r"(a), [b0] "+r"(b)
                         : [depth] "r"(depth), [out_row] "r"(out_row * 4),
                           [a_step] "r"(a_step * 4), [b_step] "r"(b_step * 4)
                         : ALL_REGISTERS);
    }
}

INLINE int too_narrow(int columns) {
    return columns < COLUMNS;
}

/* The last tile may compute some columns of the one before it again. */
INLINE void row_of_tiles(float *out, const float *a, int a_row, int a_step, const float *b,
                         int b_step, int b_column, int columns, int depth, enum order order) {
    for (int k = 0; k < columns; k += COLUMNS) {
        if (k > columns - COLUMNS) {
            k = columns - COLUMNS;
        }
        tile_4(out + k, columns, a, a_row, a_step, b + k * b_column, b_step, b_column, depth,
               order);
    }
}
