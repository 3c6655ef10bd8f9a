/* The header against vectors.json, which tests/foreign makes vectors.inc of; then against bytes of chance. */
#include "cutout_wire.h"

#include <stdio.h>
#include <stdlib.h>

static int failures;

#define EXPECT(what, ...) \
    do { \
        if (!(what)) { \
            failures++; \
            printf("%s:%d: %s: ", __FILE__, __LINE__, #what); \
            printf(__VA_ARGS__); \
            printf("\n"); \
        } \
    } while (0)

struct bytes { const uint8_t *at; size_t count; };
struct message_case {
    const char *note;
    struct bytes packet, payload;
    uint8_t kind, flags;
    uint16_t seq;
    uint32_t request;
    bool (*check)(const struct cutout_message *);
};
struct packet_case { const char *note; struct bytes decoded; enum cutout_outcome outcome; uint8_t kind; uint32_t request; };
struct payload_case { const char *note; uint8_t kind; struct bytes payload; enum cutout_outcome outcome; };
struct stream_case { const char *note; struct bytes bytes; const char *found; };
/* What an item says, as numbers in the order in which they are read; none: only that it is whole. */
struct item_case { uint8_t kind; const int64_t *numbers; size_t count; };
struct body_case { const char *note; struct bytes body; const struct item_case *items; size_t count; };
struct bad_item_case { uint8_t kind; struct bytes bytes; enum cutout_outcome outcome; };

static bool equal(const uint8_t *a, size_t count, struct bytes b) {
    return count == b.count && (count == 0 || memcmp(a, b.at, count) == 0);
}

#include "vectors.inc"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static uint8_t buffer[CUTOUT_WIRE_SIZE(1024)];

/* What an accumulator finds in bytes that come in pieces, in words, each with a newline behind it. */
static void find(struct bytes bytes, size_t piece, char *out, size_t room) {
    struct cutout_accumulator accumulator = {.buffer = buffer, .room = sizeof buffer};
    static const char *const names[] = {"BadHeader", "BadVersion", "BadLength", "BadCrc"};
    size_t used = 0;
    out[0] = 0;
    for (size_t at = 0; at < bytes.count; at += piece) {
        const uint8_t *rest = bytes.at + at;
        size_t count = bytes.count - at < piece ? bytes.count - at : piece;
        while (count > 0 && used < room) {
            struct cutout_packet packet;
            switch (cutout_feed(&accumulator, &rest, &count)) {
                case CUTOUT_FEED_PACKET: {
                    enum cutout_outcome outcome = cutout_open(buffer, accumulator.found, &packet);
                    if (outcome == CUTOUT_OK)
                        used += (size_t)snprintf(out + used, room - used, "packet %lu\n", (unsigned long)packet.request);
                    else
                        used += (size_t)snprintf(out + used, room - used, "%s\n", names[outcome - CUTOUT_BAD_HEADER]);
                    break;
                }
                case CUTOUT_FEED_LINE:
                    used += (size_t)snprintf(out + used, room - used, "line %.*s\n", (int)accumulator.found, (char *)buffer);
                    break;
                case CUTOUT_FEED_GARBAGE:
                    used += (size_t)snprintf(out + used, room - used, "garbage\n");
                    break;
                case CUTOUT_FEED_MORE:
                    EXPECT(count == 0, "all is taken");
                    break;
            }
        }
    }
}

/* The numbers of an item; how it ends. */
static enum cutout_outcome read_item(const struct cutout_item *item, int64_t *out, size_t room, size_t *count) {
    enum cutout_outcome outcome = CUTOUT_OK;
    size_t at = 0;
#define SAY(number) do { if (at < room) out[at] = (int64_t)(number); at++; } while (0)
    if (item->kind == CUTOUT_ITEM_BBOX) {
        struct cutout_bbox b = {0, 0, 0, 0};
        outcome = cutout_read_bbox(item, &b);
        SAY(b.x); SAY(b.y); SAY(b.width); SAY(b.height);
    } else if (item->kind == CUTOUT_ITEM_CENTROID) {
        struct cutout_centroid c = {0, 0};
        outcome = cutout_read_centroid(item, &c);
        SAY(c.x); SAY(c.y);
    } else if (item->kind == CUTOUT_ITEM_AREA) {
        uint32_t area = 0;
        outcome = cutout_read_area(item, &area);
        SAY(area);
    } else if (item->kind == CUTOUT_ITEM_CONTOUR) {
        struct cutout_contour contour;
        struct cutout_corner corner;
        outcome = cutout_read_contour(item, &contour);
        SAY(contour.iou);
        while (outcome == CUTOUT_OK && (outcome = cutout_next_corner(&contour, &corner)) == CUTOUT_OK) {
            SAY(corner.first); SAY(corner.hole); SAY(corner.x); SAY(corner.y);
        }
        outcome = outcome == CUTOUT_END ? CUTOUT_OK : outcome;
    } else if (item->kind == CUTOUT_ITEM_RLE) {
        struct cutout_rle rle;
        struct cutout_span span;
        outcome = cutout_read_rle(item, &rle);
        SAY(rle.width); SAY(rle.height);
        while (outcome == CUTOUT_OK && (outcome = cutout_next_span(&rle, &span)) == CUTOUT_OK) {
            SAY(span.y); SAY(span.x); SAY(span.length);
        }
        outcome = outcome == CUTOUT_END ? CUTOUT_OK : outcome;
    } else {
        for (size_t i = 0; i < item->bytes.length; i++) SAY(item->bytes.data[i]);
    }
    *count = at;
    return outcome;
}

static void test_messages(void) {
    for (size_t i = 0; i < COUNT(message_cases); i++) {
        const struct message_case *c = &message_cases[i];
        struct cutout_accumulator accumulator = {.buffer = buffer, .room = sizeof buffer};
        struct cutout_packet packet;
        static struct cutout_message message;
        static uint8_t out[CUTOUT_WIRE_SIZE(1024)];
        const uint8_t *bytes = c->packet.at;
        size_t count = c->packet.count;
        EXPECT(cutout_feed(&accumulator, &bytes, &count) == CUTOUT_FEED_PACKET && count == 0, "%s", c->note);
        EXPECT(cutout_open(buffer, accumulator.found, &packet) == CUTOUT_OK, "%s", c->note);
        EXPECT(packet.kind == c->kind && packet.flags == c->flags && packet.seq == c->seq, "%s", c->note);
        EXPECT(packet.request == c->request && equal(packet.payload.data, packet.payload.length, c->payload), "%s", c->note);
        memset(&message, 0xaa, sizeof message);
        EXPECT(cutout_decode(&packet, &message) == CUTOUT_OK, "%s", c->note);
        EXPECT(c->check(&message), "%s", c->note);
        size_t length = cutout_encode(out, sizeof out, c->flags, c->seq, c->request, &message);
        EXPECT(equal(out, length, c->packet), "%s is encoded to other bytes", c->note);
        EXPECT(length <= CUTOUT_WIRE_SIZE(packet.payload.length), "%s", c->note);
        for (size_t room = 0; room < length; room++)
            EXPECT(cutout_encode(out, room, 0, 0, c->request, &message) == 0, "%s in %u bytes", c->note, (unsigned)room);
    }
}

static void test_refusals(void) {
    static struct cutout_message message;
    for (size_t i = 0; i < COUNT(packet_cases); i++) {
        const struct packet_case *c = &packet_cases[i];
        struct cutout_packet packet;
        EXPECT(cutout_open(c->decoded.at, c->decoded.count, &packet) == c->outcome, "%s", c->note);
        if (c->kind != 0) EXPECT(packet.kind == c->kind && packet.request == c->request, "%s", c->note);
    }
    for (size_t i = 0; i < COUNT(payload_cases); i++) {
        const struct payload_case *c = &payload_cases[i];
        struct cutout_packet packet = {.kind = c->kind, .payload = {c->payload.at, c->payload.count}};
        EXPECT(cutout_decode(&packet, &message) == c->outcome, "%s", c->note);
    }
    for (size_t i = 0; i < COUNT(bad_item_cases); i++) {
        const struct bad_item_case *c = &bad_item_cases[i];
        struct cutout_item item = {c->kind, {c->bytes.at, c->bytes.count}};
        size_t count;
        EXPECT(read_item(&item, NULL, 0, &count) == c->outcome, "bad item %u", (unsigned)i);
    }
    memset(&message, 0, sizeof message);
    message.kind = CUTOUT_PING, message.as.ping.data.length = 33;
    EXPECT(cutout_encode(buffer, sizeof buffer, 0, 0, 1, &message) == 0, "33 bytes of Ping");
    memset(&message, 0, sizeof message);
    message.kind = CUTOUT_PROMPT, message.as.prompt.points.count = 17;
    EXPECT(cutout_encode(buffer, sizeof buffer, 0, 0, 1, &message) == 0, "17 points");
    message.kind = 0x7e;
    EXPECT(cutout_encode(buffer, sizeof buffer, 0, 0, 1, &message) == 0, "a kind that is not known");
}

static void test_streams(void) {
    static const size_t pieces[] = {1, 2, 7, 100000};
    static char found[10000];
    for (size_t i = 0; i < COUNT(stream_cases); i++)
        for (size_t p = 0; p < COUNT(pieces); p++) {
            find(stream_cases[i].bytes, pieces[p], found, sizeof found);
            EXPECT(strcmp(found, stream_cases[i].found) == 0, "%s: %s", stream_cases[i].note, found);
        }
}

static void test_bodies(void) {
    static int64_t numbers[10000];
    for (size_t i = 0; i < COUNT(body_cases); i++) {
        const struct body_case *c = &body_cases[i];
        struct cutout_items items = {c->body.at, c->body.count};
        struct cutout_item item;
        for (size_t at = 0; at < c->count; at++) {
            const struct item_case *expected = &c->items[at];
            size_t count = 0;
            EXPECT(cutout_next_item(&items, &item) == CUTOUT_OK && item.kind == expected->kind, "%s", c->note);
            EXPECT(read_item(&item, numbers, COUNT(numbers), &count) == CUTOUT_OK, "%s", c->note);
            if (expected->numbers == NULL) continue;
            EXPECT(count == expected->count, "%s: %u numbers", c->note, (unsigned)count);
            for (size_t n = 0; n < count && n < expected->count; n++)
                EXPECT(numbers[n] == expected->numbers[n], "%s: item %u, number %u", c->note, (unsigned)at, (unsigned)n);
        }
        EXPECT(cutout_next_item(&items, &item) == CUTOUT_END, "%s", c->note);
    }
}

static void test_assembly(void) {
    static uint8_t room[100];
    uint8_t body[90];
    for (size_t i = 0; i < sizeof body; i++) body[i] = (uint8_t)(i * 7);
    struct cutout_assembly a = {.buffer = room, .room = sizeof room};
    struct cutout_result head = {.total = 90, .crc = cutout_crc32(0, body, 90), .data = {body, 30}};
    struct cutout_chunk chunk = {30, {body + 30, 30}};
    EXPECT(cutout_take_chunk(&a, &chunk) == CUTOUT_HEADLESS, "a chunk before the head");
    EXPECT(cutout_take_result(&a, &head) == CUTOUT_MISSING && a.received == 30, "the head");
    chunk.offset = 60, chunk.data.data = body + 60;
    EXPECT(cutout_take_chunk(&a, &chunk) == CUTOUT_MISSING && a.received == 30, "a piece behind a gap");
    chunk.offset = UINT32_MAX;
    EXPECT(cutout_take_chunk(&a, &chunk) == CUTOUT_MISSING && a.received == 30, "a piece of another answer");
    chunk.offset = 20, chunk.data.data = body + 20, chunk.data.length = 70;
    EXPECT(cutout_take_chunk(&a, &chunk) == CUTOUT_COMPLETE && memcmp(room, body, 90) == 0, "the rest, and more");
    EXPECT(cutout_take_result(&a, &head) == CUTOUT_COMPLETE, "the head again");
    head.sequence = 2, head.crc ^= 1;
    EXPECT(cutout_take_result(&a, &head) == CUTOUT_MISSING && a.received == 30, "the next answer");
    EXPECT(cutout_take_chunk(&a, &chunk) == CUTOUT_CORRUPT && a.received == 0, "a wrong checksum");
    head.total = 101;
    EXPECT(cutout_take_result(&a, &head) == CUTOUT_TOO_LARGE, "too large");
    EXPECT(cutout_answer_timeout_ms(60, 240, 9600, 80) == 571, "time-out at 9600 baud");
    EXPECT(cutout_answer_timeout_ms(60, 4096, 0, 200) == 300, "time-out of a socket");
    EXPECT(cutout_answer_timeout_ms(UINT32_MAX, UINT32_MAX, 1, UINT32_MAX) == UINT32_MAX, "no overflow");
}

static uint32_t seed = 1;

static uint8_t chance(void) {
    seed = seed * 1664525u + 1013904223u;
    return (uint8_t)(seed >> 24);
}

/* Bytes of chance: run with sanitizers, this finds reads and writes outside. Memory is as small as the bytes are. */
static void test_chance(unsigned rounds) {
    static struct cutout_message message;
    static const uint8_t kinds[] = {
#define KIND(number, NAME, name) number,
        CUTOUT_MESSAGES(KIND) CUTOUT_BARE_MESSAGES(KIND)};
    for (unsigned round = 0; round < rounds; round++) {
        size_t count = chance();
        uint8_t *bytes = malloc(count > 0 ? count : 1);
        if (bytes == NULL) exit(2);
        for (size_t i = 0; i < count; i++) bytes[i] = (uint8_t)(chance() >> (i % 8));
        struct cutout_packet packet = {.kind = kinds[round % COUNT(kinds)], .payload = {bytes, count}};
        if (cutout_decode(&packet, &message) == CUTOUT_OK) {
            static uint8_t out[CUTOUT_WIRE_SIZE(1024)];
            struct cutout_accumulator accumulator = {.buffer = buffer, .room = sizeof buffer};
            size_t length = cutout_encode(out, sizeof out, 0, 0, 1, &message);
            const uint8_t *rest = out;
            EXPECT(length > 0 && cutout_feed(&accumulator, &rest, &length) == CUTOUT_FEED_PACKET, "kind %x", packet.kind);
            struct cutout_packet again;
            EXPECT(cutout_open(buffer, accumulator.found, &again) == CUTOUT_OK, "kind %x", packet.kind);
            EXPECT(again.payload.length == count && (count == 0 || memcmp(again.payload.data, bytes, count) == 0), "kind %x", packet.kind);
        }
        uint8_t *small = malloc(64);
        if (small == NULL) exit(2);
        struct cutout_accumulator accumulator = {.buffer = small, .room = 64};
        const uint8_t *rest = bytes;
        for (size_t left = count; left > 0;)
            if (cutout_feed(&accumulator, &rest, &left) == CUTOUT_FEED_PACKET) cutout_open(small, accumulator.found, &packet);
        struct cutout_item item = {(uint8_t)(round % 8), {bytes, count}};
        size_t numbers;
        read_item(&item, NULL, 0, &numbers);
        struct cutout_items items = {bytes, count};
        while (cutout_next_item(&items, &item) == CUTOUT_OK) read_item(&item, NULL, 0, &numbers);
        free(small);
        free(bytes);
    }
}

int main(void) {
    EXPECT(CUTOUT_SCHEMA_HASH == VECTORS_SCHEMA_HASH, "the header is of another schema");
    test_messages();
    test_refusals();
    test_streams();
    test_bodies();
    test_assembly();
    test_chance(20000);
    printf(failures == 0 ? "ok\n" : "%d failures\n", failures);
    return failures == 0 ? 0 : 1;
}
