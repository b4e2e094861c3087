/* The program that calls kernels on an emulated Xtensa core: QEMU's machine "sim", cpu "de233_fpu".
 *
 * cores.py puts "reset" at the reset vector, "start" at 0x20000, and a table at 0x10000:
 *
 *     calls, address of the output, bytes of the output, 0
 *     function, number of arguments, address of the arguments, [cycles]     for each call
 *
 * Start calls each function as MicroPython calls a viper function, notes the cycles, and at the end
 * writes the output to the console. An exception ends the emulator with code 64 + its cause.
 */

#define SIMCALL ".byte 0x00, 0x51, 0x00\n"

__asm__(
    ".section .text.reset, \"ax\"\n"
    ".type reset, @function\n"
    "reset:\n" /* a call returns to its own quarter of the address space: leave this one */
    "  movi a2, 1\n"
    "  slli a2, a2, 17\n"
    "  jx a2\n"
    ".size reset, . - reset\n"

    ".section .text.start, \"ax\"\n"
    ".type start, @function\n"
    "start:\n"
    "  movi a2, 1\n"
    "  wsr a2, windowstart\n"
    "  movi a2, 0\n"
    "  wsr a2, windowbase\n"
    "  rsync\n"
    "  movi a2, 1\n"
    "  slli a2, a2, 18\n" /* window overflow enable; no interrupts are on */
    "  wsr a2, ps\n"
    "  movi a2, 255\n" /* the floating-point unit is a coprocessor */
    "  wsr a2, cpenable\n"
    "  rsync\n"
    "  movi a3, 1\n"
    "  slli a3, a3, 16\n"
    "  mov a1, a3\n" /* the stack grows down from the table */
    "  l32i a4, a3, 0\n"
    "  l32i a5, a3, 4\n"
    "  l32i a6, a3, 8\n"
    "next:\n"
    "  beqz a4, done\n"
    "  addi a3, a3, 16\n"
    "  l32i a8, a3, 0\n"
    "  movi a10, 0\n" /* self */
    "  l32i a11, a3, 4\n"
    "  movi a12, 0\n" /* n_kw */
    "  l32i a13, a3, 8\n"
    "  rsr a7, ccount\n"
    "  callx8 a8\n"
    "  rsr a2, ccount\n"
    "  sub a2, a2, a7\n"
    "  s32i a2, a3, 12\n"
    "  addi a4, a4, -1\n"
    "  j next\n"
    "done:\n"
    "  movi a2, 4\n" /* write */
    "  movi a3, 1\n"
    "  mov a4, a5\n"
    "  mov a5, a6\n"
    "  " SIMCALL
    "  movi a2, 1\n" /* exit */
    "  movi a3, 0\n"
    "  " SIMCALL
    ".size start, . - start\n"

    ".section .text.trap, \"ax\"\n"
    ".type trap, @function\n"
    "trap:\n"
    "  rsr a3, exccause\n"
    "  addi a3, a3, 64\n"
    "  movi a2, 1\n"
    "  " SIMCALL
    ".size trap, . - trap\n");
