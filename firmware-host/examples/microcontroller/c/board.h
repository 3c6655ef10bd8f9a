/* The LM3S6965 on its evaluation board, as far as the program uses it: clock, UART0, milliseconds, and text for who debugs it.
 * Another board needs another board.c. */
#ifndef BOARD_H
#define BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BOARD_BAUD 921600u

void board_start(void);

/* Milliseconds since the start; wraps. */
uint32_t board_ms(void);

/* The next byte that came; negative if there is none. The UART keeps 16. */
int board_read(void);

void board_write(const uint8_t *bytes, size_t count);

/* Most bytes of the stack that were in use. */
uint32_t board_stack(void);

/* Text, and numbers, by semihosting. */
void board_say(const char *text);
void board_say_number(uint32_t value);
void board_say_hex(uint32_t value);

/* Ends the emulator with status 0 or 1, or stops in the debugger. */
_Noreturn void board_exit(bool well);

#endif
