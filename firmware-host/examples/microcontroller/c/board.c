#include "board.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define RAW_INTERRUPTS REGISTER(0x400fe050u)
#define CLOCKING REGISTER(0x400fe060u)
#define GATES_1 REGISTER(0x400fe104u)
#define GATES_2 REGISTER(0x400fe108u)
#define PORT_A_FUNCTION REGISTER(0x40004420u)
#define PORT_A_DIGITAL REGISTER(0x4000451cu)
#define UART_DATA REGISTER(0x4000c000u)
#define UART_FLAGS REGISTER(0x4000c018u)
#define UART_DIVISOR REGISTER(0x4000c024u)
#define UART_FRACTION REGISTER(0x4000c028u)
#define UART_LINE REGISTER(0x4000c02cu)
#define UART_CONTROL REGISTER(0x4000c030u)
#define EXCEPTIONS REGISTER(0xe000ed04u)
#define SYSTICK_PENDING (1u << 26)
#define SYSTICK_CONTROL REGISTER(0xe000e010u)
#define SYSTICK_RELOAD REGISTER(0xe000e014u)
#define SYSTICK_CURRENT REGISTER(0xe000e018u)

#define CLOCK 50000000u
/* Milliseconds between ticks, as many as the timer can; between them it tells the time itself. */
#define TICK_MS 300u
#define CLOCKS_PER_MS (CLOCK / 1000u)
#define PAINT 0xccccccccu

extern uint32_t stack_low, stack_top, data_from, data_start, data_end, bss_start, bss_end;

int main(void);

static volatile uint32_t ticks;

/* Statics and the stack's paint are made before anything is called; the compiler must not make calls of these loops. */
_Noreturn __attribute__((optimize("no-tree-loop-distribute-patterns"))) void reset(void) {
    uint32_t *frame = (uint32_t *)__builtin_frame_address(0) - 16;
    for (uint32_t *at = &stack_low; at < frame; at++) *at = PAINT;
    for (uint32_t *from = &data_from, *to = &data_start; to < &data_end;) *to++ = *from++;
    for (uint32_t *to = &bss_start; to < &bss_end;) *to++ = 0;
    board_exit(main() == 0);
}

static void tick(void) { ticks++; }

static void fault(void) {
    board_say("FAULT\n");
    board_exit(false);
}

/* The processor's own exceptions; the program uses no other interrupt. */
__attribute__((section(".vectors"), used)) static void (*const vectors[16])(void) = {
    (void (*)(void))&stack_top, reset, fault, fault, fault, fault, fault, NULL, NULL, NULL, NULL, fault, fault, NULL, fault, tick};

/* From the crystal of 8 MHz, by the PLL of 200 MHz, to 50 MHz, in the order that the data sheet demands. */
static void start_clock(void) {
    uint32_t clocking = (CLOCKING & ~(1u << 22)) | 1u << 11;
    CLOCKING = clocking;
    CLOCKING = clocking &= ~1u;
    for (volatile uint32_t wait = 0; wait < 100000; wait++) {}
    CLOCKING = clocking = (clocking & ~(0xfu << 6 | 3u << 4 | 1u << 13)) | 0xeu << 6;
    CLOCKING = clocking = (clocking & ~(0xfu << 23)) | 3u << 23 | 1u << 22;
    while ((RAW_INTERRUPTS & 1u << 6) == 0) {}
    CLOCKING = clocking & ~(1u << 11);
}

void board_start(void) {
    start_clock();
    SYSTICK_RELOAD = TICK_MS * CLOCKS_PER_MS - 1u;
    SYSTICK_CURRENT = 0;
    SYSTICK_CONTROL = 7;
    /* It begins with its next clock; until then it says that a tick is over. */
    while (SYSTICK_CURRENT == 0) {}
    GATES_1 |= 1;
    GATES_2 |= 1;
    for (volatile uint32_t wait = 0; wait < 8; wait++) {}
    PORT_A_FUNCTION |= 3;
    PORT_A_DIGITAL |= 3;
    /* Sixteen clocks a bit; the divisor has six bits of fraction. Eight bits, no parity, one stop bit; with FIFOs. */
    uint32_t divisor = (CLOCK * 4u + BOARD_BAUD / 2u) / BOARD_BAUD;
    UART_CONTROL = 0;
    UART_DIVISOR = divisor >> 6;
    UART_FRACTION = divisor & 63u;
    UART_LINE = 0x70;
    UART_CONTROL = 0x301;
}

uint32_t board_ms(void) {
    uint32_t before, left;
    do {
        before = ticks;
        left = SYSTICK_CURRENT;
        /* The timer may have begun anew, and the tick not be counted yet. */
    } while ((EXCEPTIONS & SYSTICK_PENDING) != 0 || before != ticks);
    return before * TICK_MS + (TICK_MS * CLOCKS_PER_MS - 1u - left) / CLOCKS_PER_MS;
}

int board_read(void) { return (UART_FLAGS & 1u << 4) != 0 ? -1 : (int)(UART_DATA & 0xffu); }

void board_write(const uint8_t *bytes, size_t count) {
    while (count-- > 0) {
        while ((UART_FLAGS & 1u << 5) != 0) {}
        UART_DATA = *bytes++;
    }
}

uint32_t board_stack(void) {
    const uint32_t *at = &stack_low;
    while (at < &stack_top && *at == PAINT) at++;
    return (uint32_t)((const uint8_t *)&stack_top - (const uint8_t *)at);
}

/* Asks the debugger, or the emulator. */
static void semihosting(uint32_t operation, uintptr_t argument) {
    register uint32_t r0 __asm("r0") = operation;
    register uintptr_t r1 __asm("r1") = argument;
    __asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

void board_say(const char *text) { semihosting(0x04, (uintptr_t)text); }

static void say_in(uint32_t value, uint32_t base, size_t digits) {
    char text[11] = "0000000000";
    size_t at = 10;
    do {
        text[--at] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value > 0);
    board_say(text + (10 - digits < at ? 10 - digits : at));
}

void board_say_number(uint32_t value) { say_in(value, 10, 1); }

void board_say_hex(uint32_t value) { say_in(value, 16, 8); }

_Noreturn void board_exit(bool well) {
    semihosting(0x18, well ? 0x20026u : 0x20023u);
    for (;;) {}
}
