/* Functions of known length, and ones that do what a kernel must not, for emulated cores. */

#include <stddef.h>
#include <stdint.h>

#define KERNEL(name)                                                                          \
    intptr_t name(intptr_t self, size_t n_args, size_t n_kw, const intptr_t *args)
#define DONE 1

#ifdef __XTENSA__
#define ILLEGAL ".byte 0, 0, 0"
#else
#define ILLEGAL "udf #0"
#endif

KERNEL(nops_0) {
    return DONE;
}

KERNEL(nops_1000) {
    __asm__ volatile(".rept 1000\nnop\n.endr");
    return DONE;
}

KERNEL(store) {
    ((uint32_t *)(args[0] >> 1))[args[1] >> 1] = 1;
    return DONE;
}

KERNEL(stop) {
    __asm__ volatile(ILLEGAL);
    return DONE;
}

KERNEL(forever) {
    for (;;) {
        __asm__ volatile("");
    }
}

#ifdef __arm__
KERNEL(lose_s16) {
    __asm__ volatile("vmov s16, %0" ::"r"(args));
    return DONE;
}

KERNEL(lose_r11) {
    __asm__ volatile("mov r11, %0" ::"r"(args));
    return DONE;
}
#endif
