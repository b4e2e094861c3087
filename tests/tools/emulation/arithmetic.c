/* The arithmetic of the kernels, one function at a time: y[i] = f(x[i]). */

#include "../../../firmware/native/kernels.c"

#define MAP(name, f)                                                                          \
    KERNEL(name) {                                                                            \
        float *y = FLOATS(0);                                                                 \
        const float *x = FLOATS(1), *c = FLOATS(3);                                           \
        int count = INT(2);                                                                   \
        for (int i = 0; i < count; i++) {                                                     \
            y[i] = f(x[i], c);                                                                \
        }                                                                                     \
        return DONE;                                                                          \
    }

MAP(map_reciprocal, reciprocal)
MAP(map_rsqrt, rsqrt)
MAP(map_exp, exp_negative)
MAP(map_log, log_of)
