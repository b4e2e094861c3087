/* The program that calls kernels on an emulated Cortex-M core with FPU: QEMU's MPS2 boards.
 *
 * cores.py puts "reset", the vector table, where the core looks for it, "trap" at BASE + 0x2300,
 * "start" at BASE + 0x20000, and a table at BASE + 0x10000:
 *
 *     calls, address of the output, bytes of the output, address of the clock
 *     function, number of arguments, address of the arguments, [time]     for each call
 *
 * Start calls each function as MicroPython calls a viper function, notes the time, and at the end
 * writes the output to a file. The clock is a timer of the board that counts down; its registers
 * are a reload value, the value, and the control (Arm's CMSDK dual timer). An exception ends the
 * emulator with code 64 + its number; registers that a function must keep, and did not, with 63.
 */

#define QUOTED(x) #x
#define TEXT(x) QUOTED(x)
#define SEMIHOSTING "bkpt 0xab\n" /* r0: the operation, r1: the address of its arguments */

__asm__(
    ".section .text.reset, \"ax\"\n"
    ".type reset, %function\n"
    "reset:\n"
    ".word " TEXT(BASE + 0x10000) "\n" /* the stack grows down from the table */
    ".word " TEXT(BASE + 0x20000 + 1) "\n"
    ".rept 14\n"
    ".word " TEXT(BASE + 0x2300 + 1) "\n"
    ".endr\n"
    ".size reset, . - reset\n"

    ".section .text.start, \"ax\"\n"
    ".thumb_func\n"
    ".type start, %function\n"
    "start:\n"
    "  ldr r0, =0xe000ed24\n" /* exceptions of their own for faults of memory, bus and usage */
    "  mov r1, #0x70000\n"
    "  str r1, [r0]\n"
    "  ldr r0, =0xe000ed88\n" /* the floating-point unit is a coprocessor */
    "  mov r1, #0xf00000\n"
    "  str r1, [r0]\n"
    "  dsb\n"
    "  isb\n"
    "  ldr r4, =" TEXT(BASE + 0x10000) "\n"
    "  ldr r5, [r4]\n"
    "  ldr r6, [r4, #12]\n"
    "  mov r0, #-1\n" /* the clock counts down from its highest value, 32 bits */
    "  str r0, [r6, #-4]\n"
    "  mov r0, #0x82\n"
    "  str r0, [r6, #4]\n"
    "  adr r0, start\n" /* any numbers, to see whether they are kept */
    "  vldm r0, {s16-s31}\n"
    "  ldm r0, {r7, r9, r10, r11}\n"
    "next:\n"
    "  cbz r5, done\n"
    "  adds r4, r4, #16\n"
    "  ldr r12, [r4]\n"
    "  orr r12, r12, #1\n" /* Thumb */
    "  movs r0, #0\n"      /* self */
    "  ldr r1, [r4, #4]\n"
    "  movs r2, #0\n" /* n_kw */
    "  ldr r3, [r4, #8]\n"
    "  vpush {s16-s31}\n"
    "  push {r4-r7, r9-r11}\n"
    "  ldr r8, [r6]\n"
    "  blx r12\n"
    "  ldr r2, [r6]\n"
    "  vpush {s16-s31}\n"
    "  push {r4-r7, r9-r11}\n"
    "  subs r8, r8, r2\n"
    "  str r8, [r4, #12]\n"
    "  subs r5, r5, #1\n"
    "  movs r0, #23\n"
    "compare:\n"
    "  ldr r1, [sp, #92]\n"
    "  pop {r2}\n"
    "  cmp r1, r2\n"
    "  bne lost\n"
    "  subs r0, r0, #1\n"
    "  bne compare\n"
    "  add sp, sp, #92\n"
    "  b next\n"
    "lost:\n"
    "  movs r0, #63\n"
    "  b exit\n"
    "done:\n"
    "  ldr r4, =" TEXT(BASE + 0x10000) "\n"
    "  adr r0, output\n"
    "  movs r1, #5\n" /* wb */
    "  movs r2, #10\n"
    "  push {r0-r2}\n"
    "  movs r0, #1\n" /* open */
    "  mov r1, sp\n"
    "  " SEMIHOSTING
    "  ldr r1, [r4, #4]\n"
    "  ldr r2, [r4, #8]\n"
    "  push {r0-r2}\n"
    "  movs r0, #5\n" /* write */
    "  mov r1, sp\n"
    "  " SEMIHOSTING
    "  mov r1, sp\n"
    "  movs r0, #2\n" /* close */
    "  " SEMIHOSTING
    "  movs r0, #0\n"
    "exit:\n"
    "  mov r1, r0\n"
    "  ldr r0, =0x20026\n" /* the application exits */
    "  push {r0, r1}\n"
    "  movs r0, #0x20\n"
    "  mov r1, sp\n"
    "  " SEMIHOSTING
    ".align 2\n"
    "output: .asciz \"output.bin\"\n"
    ".align 2\n"
    ".ltorg\n"
    ".size start, . - start\n"

    ".section .text.trap, \"ax\"\n"
    ".thumb_func\n"
    ".type trap, %function\n"
    "trap:\n"
    "  mrs r1, ipsr\n"
    "  adds r1, r1, #64\n"
    "  ldr r0, =0x20026\n"
    "  push {r0, r1}\n"
    "  movs r0, #0x20\n"
    "  mov r1, sp\n"
    "  " SEMIHOSTING
    ".ltorg\n"
    ".size trap, . - trap\n");
