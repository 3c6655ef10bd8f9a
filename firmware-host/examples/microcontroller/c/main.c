/* The smallest client of Cutout's device service: a Hello and a prompt, with payloads of 64 bytes and a window of 1. As nothing is
 * on the way while a packet is looked at, the UART needs no interrupt and no other buffer than the packet's. */
#include "board.h"
#include "cutout_wire.h"

#define PAYLOAD 64u
#define BODY 1536u
/* How often in a row it is asked again in vain; on a busy computer the shortest time-outs are soon over. */
#define TRIES 40u
/* What the service may take for an answer, in milliseconds. One that takes longer is asked again, and works on. */
#define WORK 1000u
/* A board is up long before a computer is. */
#define HELLOS 300u

static uint8_t packet_bytes[CUTOUT_WIRE_SIZE(PAYLOAD)], body[BODY];
static struct cutout_accumulator accumulator = {.buffer = packet_bytes, .room = sizeof packet_bytes};
static struct cutout_packet packet;
static struct cutout_message message;
static struct cutout_assembly assembly = {.buffer = body, .room = sizeof body};
static uint32_t bytes_sent, bytes_received, asked_again;
static uint16_t seq;

/* Sends what `out` says; gives its bytes on the wire. */
static uint32_t send(uint32_t request, uint8_t flags, const struct cutout_message *out) {
    uint8_t bytes[1u + CUTOUT_WIRE_SIZE(PAYLOAD)] = {0};
    size_t length = 1 + cutout_encode(bytes + 1, sizeof bytes - 1, flags, seq++, request, out);
    board_write(bytes, length);
    bytes_sent += (uint32_t)length;
    return (uint32_t)length;
}

enum event { QUIET, DAMAGED, MESSAGE };

static void grant(void) {
    struct cutout_message out = {.kind = CUTOUT_GRANT};
    out.as.grant.packets = 1;
    send(0, 0, &out);
}

/* Whether the message says that a grant came damaged. */
static bool is_about_a_grant(void) {
    const struct cutout_error *error = &message.as.error;
    return message.kind == CUTOUT_ERROR && error->of == CUTOUT_GRANT && error->code == CUTOUT_E_BAD_CRC;
}

/* Waits for a packet about the request, which is then in `message`, and grants another for one with data. */
static enum event next(uint32_t request, uint32_t start, uint32_t patience) {
    while (board_ms() - start < patience) {
        int came = board_read();
        if (came < 0) continue;
        uint8_t byte = (uint8_t)came;
        const uint8_t *bytes = &byte;
        size_t count = 1;
        bytes_received++;
        if (cutout_feed(&accumulator, &bytes, &count) != CUTOUT_FEED_PACKET) continue;
        enum cutout_outcome outcome = cutout_open(accumulator.buffer, accumulator.found, &packet);
        if (outcome == CUTOUT_BAD_HEADER || outcome == CUTOUT_BAD_VERSION) continue;
        if (packet.kind == CUTOUT_RESULT || packet.kind == CUTOUT_CHUNK) grant();
        if (packet.request != 0 && packet.request != request) continue;
        if (outcome != CUTOUT_OK) return DAMAGED;
        if (cutout_decode(&packet, &message) != CUTOUT_OK) continue;
        if (packet.request != 0) return MESSAGE;
        if (is_about_a_grant()) grant();
    }
    return QUIET;
}

/* The first message of a connection. */
static bool hello(uint32_t request) {
    for (uint32_t attempt = 0; attempt < HELLOS; attempt++) {
        struct cutout_message out = {.kind = CUTOUT_HELLO};
        out.as.hello.client = 0x6d6963726f5f6333u; /* random, or a serial number, where there is one */
        out.as.hello.schema = CUTOUT_SCHEMA_HASH;
        out.as.hello.max_payload = PAYLOAD;
        out.as.hello.window = 1;
        uint32_t start = board_ms(), sent = send(request, attempt > 0 ? CUTOUT_RETRY : 0, &out);
        uint32_t patience = cutout_answer_timeout_ms(sent, CUTOUT_WIRE_SIZE(PAYLOAD), BOARD_BAUD, 100);
        while (next(request, start, patience) == MESSAGE)
            if (message.kind == CUTOUT_CAPS) return message.as.caps.schema == CUTOUT_SCHEMA_HASH;
            else if (message.kind == CUTOUT_ERROR && message.as.error.code == CUTOUT_E_VERSION) return false;
    }
    return false;
}

/* Asks for all of the answer, or for what lacks of it. Gives how long it may take. */
static uint32_t ask(uint32_t request, bool again) {
    struct cutout_message out = {.kind = CUTOUT_PROMPT};
    bool fetch = assembly.head && assembly.received < assembly.total;
    asked_again += again;
    if (fetch) {
        out.kind = CUTOUT_FETCH;
        out.as.fetch.offset = (uint32_t)assembly.received; /* to the end */
    } else {
        out.as.prompt.wanted = 1u << CUTOUT_ITEM_BBOX | 1u << CUTOUT_ITEM_AREA | 1u << CUTOUT_ITEM_RLE;
        out.as.prompt.bbox = (struct cutout_rect){true, 624 * 16, 24 * 16, 749 * 16, 374 * 16};
    }
    uint32_t sent = send(request, again && !fetch ? CUTOUT_RETRY : 0, &out);
    return cutout_answer_timeout_ms(sent, BODY / 60u * CUTOUT_WIRE_SIZE(PAYLOAD), BOARD_BAUD, fetch ? 0 : WORK);
}

/* True once the whole answer is in `body`. */
static bool prompt(uint32_t request) {
    uint32_t start = board_ms(), patience = ask(request, false);
    for (uint32_t tries = 1; tries <= TRIES;) {
        size_t received = assembly.received;
        enum cutout_progress progress = CUTOUT_MISSING;
        enum event event = next(request, start, patience);
        bool again = event != MESSAGE;
        if (event == MESSAGE && message.kind == CUTOUT_RESULT) {
            progress = cutout_take_result(&assembly, &message.as.result);
        } else if (event == MESSAGE && message.kind == CUTOUT_CHUNK) {
            progress = cutout_take_chunk(&assembly, &message.as.chunk);
        } else if (event == MESSAGE && message.kind == CUTOUT_ERROR) {
            const struct cutout_error *error = &message.as.error;
            again = error->code == CUTOUT_E_BAD_CRC;
            if (error->code == CUTOUT_E_BUSY || error->code == CUTOUT_E_NO_FRAME) {
                uint32_t wait = error->detail > 0 && error->detail < 2000 ? error->detail : 200;
                for (uint32_t from = board_ms(); board_ms() - from < wait;) {}
                again = true;
            } else if (error->code == CUTOUT_E_UNAUTHORIZED) {
                again = hello(request + 1);
            }
            if (!again) {
                board_say("refused: ");
                board_say(error->text.data);
                board_say("\n");
                return false;
            }
        }
        if (progress == CUTOUT_COMPLETE) return true;
        if (progress == CUTOUT_TOO_LARGE) return false;
        again = again || progress == CUTOUT_CORRUPT;
        if (assembly.received > received) {
            /* The next one comes at once. */
            start = board_ms(), tries = 1;
            patience = cutout_answer_timeout_ms(0, CUTOUT_WIRE_SIZE(PAYLOAD), BOARD_BAUD, 0);
        }
        if (again) {
            start = board_ms(), tries++;
            patience = ask(request, true);
        }
    }
    return false;
}

static void say(const char *name, uint32_t value) {
    board_say(name);
    board_say_number(value);
}

/* Reads the answer, and counts the mask's pixels and their box run by run. */
static bool is_sound(void) {
    struct cutout_items items = {body, assembly.total};
    struct cutout_item item;
    struct cutout_bbox bbox = {0, 0, 0, 0};
    uint32_t area = 0, pixels = 0, left = UINT32_MAX, right = 0, top = UINT32_MAX, bottom = 0;
    enum cutout_outcome outcome = CUTOUT_OK;
    while ((outcome = cutout_next_item(&items, &item)) == CUTOUT_OK) {
        if (item.kind == CUTOUT_ITEM_BBOX) outcome = cutout_read_bbox(&item, &bbox);
        if (item.kind == CUTOUT_ITEM_AREA) outcome = cutout_read_area(&item, &area);
        if (item.kind == CUTOUT_ITEM_RLE) {
            struct cutout_rle rle;
            struct cutout_span span;
            if (cutout_read_rle(&item, &rle) != CUTOUT_OK) return false;
            while ((outcome = cutout_next_span(&rle, &span)) == CUTOUT_OK) {
                pixels += span.length;
                if (span.x < left) left = span.x;
                if (span.x + span.length > right) right = span.x + span.length;
                if (span.y < top) top = span.y;
                bottom = span.y + 1;
            }
            board_say("row rle crc32: ");
            board_say_hex(cutout_crc32(0, item.bytes.data, item.bytes.length));
            board_say("\n");
            outcome = outcome == CUTOUT_END ? CUTOUT_OK : outcome;
        }
        if (outcome != CUTOUT_OK) return false;
    }
    say("box ", bbox.x), say(",", bbox.y), say(" ", bbox.width), say("x", bbox.height), say(", area ", area);
    say("; by the runs ", pixels), board_say("\n");
    return outcome == CUTOUT_END && area > 0 && pixels == area && left == bbox.x && top == bbox.y &&
           right == (uint32_t)bbox.x + bbox.width && bottom == (uint32_t)bbox.y + bbox.height;
}

int main(void) {
    board_start();
    board_say("Cutout's smallest client: payloads of 64 bytes, window 1\n");
    bool is_well = hello(1);
    board_say(is_well ? "hello: the schema is as here\n" : "FAILED: no service, or another schema\n");
    if (is_well) {
        uint32_t start = board_ms();
        is_well = prompt(3);
        say("object: ", board_ms() - start), say(" ms, ", assembly.total), board_say(" bytes\n");
        is_well = is_well && is_sound();
    }
    say("line: ", bytes_sent), say(" bytes sent, ", bytes_received), say(" received; ", asked_again);
    say(" asked again\nstack: ", board_stack());
    board_say(is_well ? " bytes\ndone\n" : " bytes\nFAILED\n");
    return is_well ? 0 : 1;
}
