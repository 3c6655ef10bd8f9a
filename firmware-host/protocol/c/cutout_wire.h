/* The wire of Cutout's device service, for C99: no malloc, no dependencies, little memory. docs/protocol.md is the law.
 *
 *   struct cutout_message message = {.kind = CUTOUT_PROMPT};
 *   message.as.prompt.wanted = 1u << CUTOUT_ITEM_BBOX;
 *   message.as.prompt.points.count = 1;
 *   message.as.prompt.points.at[0] = (struct cutout_point){320 * 16, 240 * 16, 1};
 *   uint8_t out[CUTOUT_WIRE_SIZE(256)];
 *   size_t length = cutout_encode(out, sizeof out, 0, seq++, request, &message);    (0: it does not fit)
 *
 * and for what comes:
 *
 *   static uint8_t buffer[CUTOUT_WIRE_SIZE(256)];
 *   static struct cutout_accumulator accumulator = {.buffer = buffer, .room = sizeof buffer};
 *   while (count > 0) {
 *       if (cutout_feed(&accumulator, &bytes, &count) != CUTOUT_FEED_PACKET) continue;
 *       struct cutout_packet packet;
 *       if (cutout_open(accumulator.buffer, accumulator.found, &packet) != CUTOUT_OK) continue;
 *       if (cutout_decode(&packet, &message) == CUTOUT_OK) ...
 *   }
 *
 * Messages without fields are their kind alone. Payloads are at most as long as the smaller of both sides' max_payload.
 */
#ifndef CUTOUT_WIRE_H
#define CUTOUT_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define CUTOUT_VERSION 1u
#define CUTOUT_SCHEMA_HASH 0x8790dda9u
#define CUTOUT_HEADER_SIZE 14u
#define CUTOUT_MAX_PAYLOAD 1024u
#define CUTOUT_MAX_LINE 120u
#define CUTOUT_RETRY 1u
/* Bytes on the wire, at most, of a packet with a payload of so many bytes. */
#define CUTOUT_WIRE_SIZE(payload) ((payload) + 18u + ((payload) + 18u + 253u) / 254u + 1u)

/* What cutout_open, cutout_decode and the readers of bodies give. */
enum cutout_outcome {
    CUTOUT_OK, CUTOUT_END,
    CUTOUT_BAD_HEADER, CUTOUT_BAD_VERSION, CUTOUT_BAD_LENGTH, CUTOUT_BAD_CRC,   /* packets */
    CUTOUT_UNKNOWN_KIND, CUTOUT_SHORT, CUTOUT_VALUE, CUTOUT_TRAILING,           /* payloads, items */
    CUTOUT_NUMBER, CUTOUT_RUNS                                                  /* items */
};
enum cutout_item_kind {
    CUTOUT_ITEM_BBOX = 1, CUTOUT_ITEM_CENTROID, CUTOUT_ITEM_AREA, CUTOUT_ITEM_CONTOUR, CUTOUT_ITEM_RLE,
    CUTOUT_ITEM_COCO_RLE, CUTOUT_ITEM_PICTURE
};
enum cutout_error_code {
    CUTOUT_E_BUSY = 1, CUTOUT_E_BAD_CRC, CUTOUT_E_BAD_PROMPT, CUTOUT_E_NO_FRAME, CUTOUT_E_STALE_FRAME, CUTOUT_E_DEADLINE,
    CUTOUT_E_TOO_LARGE, CUTOUT_E_UNSUPPORTED, CUTOUT_E_VERSION, CUTOUT_E_UNAUTHORIZED, CUTOUT_E_INTERNAL,
    CUTOUT_E_MALFORMED, CUTOUT_E_CANCELLED
};

/* --- Messages: F(type, name, limit) in the order of the wire; q4 is a sixteenth of a pixel ------------------------- */

#define CUTOUT_F_HELLO(F) F(u64, client, 0) F(u32, schema, 0) F(u16, max_payload, 0) F(u16, window, 0) F(bytes, token, 64)
#define CUTOUT_F_CAPTURE(F) F(u32, max_age_ms, 0) F(u32, deadline_ms, 0)
#define CUTOUT_F_UPLOAD_BEGIN(F) F(u16, width, 0) F(u16, height, 0) F(u8, format, 0) F(u32, bytes, 0) F(u32, crc, 0)
#define CUTOUT_F_UPLOAD_CHUNK(F) F(u32, offset, 0) F(rest, data, 0)
#define CUTOUT_F_PROMPT(F) F(u32, frame, 0) F(u32, deadline_ms, 0) F(u32, budget, 0) F(u16, wanted, 0) \
    F(u16, contour_points, 0) F(u32, refine, 0) F(u8, options, 0) F(rect, bbox, 0) F(points, points, 16)
#define CUTOUT_F_FETCH(F) F(u32, offset, 0) F(u32, length, 0)
#define CUTOUT_F_GRANT(F) F(u16, packets, 0)
#define CUTOUT_F_TRACK(F) F(u32, interval_ms, 0) F(prompt, prompt, 0)
#define CUTOUT_F_CONFIGURE(F) F(u8, key, 0) F(u32, value, 0)
#define CUTOUT_F_PING(F) F(bytes, data, 32)
#define CUTOUT_F_GET_PICTURE(F) F(u32, frame, 0) F(u16, max_side, 0) F(u8, quality, 0)
#define CUTOUT_F_CAPS(F) F(u32, schema, 0) F(str, service, 32) F(str, model, 64) F(digest, sha256, 32) F(u8, precision, 0) \
    F(u16, input_width, 0) F(u16, input_height, 0) F(u16, max_payload, 0) F(u16, window, 0) F(u32, max_upload, 0) \
    F(u8, max_points, 0) F(u8, ring, 0) F(u32, features, 0) F(u32, newest, 0)
#define CUTOUT_F_FRAME(F) F(u32, frame, 0) F(u16, width, 0) F(u16, height, 0) F(u32, age_ms, 0) F(u8, encoded, 0)
#define CUTOUT_F_UPLOAD_STATE(F) F(u32, received, 0) F(u32, frame, 0)
#define CUTOUT_F_RESULT(F) F(u32, frame, 0) F(u32, sequence, 0) F(u32, age_ms, 0) F(u16, flags, 0) F(u8, precision, 0) \
    F(u16, included, 0) F(u16, cut, 0) F(u16, predicted_iou, 0) F(u16, stability, 0) F(u32, waited_us, 0) \
    F(u32, preprocess_us, 0) F(u32, encode_us, 0) F(u32, decode_us, 0) F(u32, postprocess_us, 0) F(u32, total, 0) \
    F(u32, crc, 0) F(rest, data, 0)
#define CUTOUT_F_CHUNK(F) F(u32, offset, 0) F(rest, data, 0)
#define CUTOUT_F_STATUS(F) F(u32, uptime_s, 0) F(u16, clients, 0) F(u16, queue, 0) F(u32, frames, 0) F(u32, encoded, 0) \
    F(u32, answered, 0) F(u32, deadlines_missed, 0) F(u32, errors, 0) F(u32, oldest, 0) F(u32, newest, 0) \
    F(u32, resident_kib, 0) F(i16, temperature_cc, 0) F(u8, throttled, 0) F(u32, encode_us, 0) F(u32, decode_us, 0) \
    F(u32, bad_packets, 0)
#define CUTOUT_F_PONG(F) F(bytes, data, 32)
#define CUTOUT_F_ERROR(F) F(u8, code, 0) F(u8, of, 0) F(u32, detail, 0) F(u32, frame, 0) F(str, text, 96)

/* M(number, NAME, member of the union); messages without fields have no member. */
#define CUTOUT_MESSAGES(M) M(0x01, HELLO, hello) M(0x02, CAPTURE, capture) M(0x03, UPLOAD_BEGIN, upload_begin) \
    M(0x04, UPLOAD_CHUNK, upload_chunk) M(0x05, PROMPT, prompt) M(0x06, FETCH, fetch) M(0x07, GRANT, grant) \
    M(0x08, TRACK, track) M(0x0a, CONFIGURE, configure) M(0x0c, PING, ping) M(0x0d, GET_PICTURE, get_picture) \
    M(0x81, CAPS, caps) M(0x82, FRAME, frame) M(0x83, UPLOAD_STATE, upload_state) M(0x85, RESULT, result) \
    M(0x86, CHUNK, chunk) M(0x8b, STATUS, status) M(0x8c, PONG, pong) M(0xff, ERROR, error)
#define CUTOUT_BARE_MESSAGES(M) M(0x09, CANCEL, cancel) M(0x0b, GET_STATUS, get_status) M(0x84, DONE, done)

struct cutout_point { uint32_t x, y; uint8_t label; };                  /* label 1: on the object, 0: beside it */
struct cutout_points { uint8_t count; struct cutout_point at[16]; };
struct cutout_rect { bool there; uint32_t x0, y0, x1, y1; };            /* there: whether the message has one */
struct cutout_rest { const uint8_t *data; size_t length; };             /* points into the packet that it came in */

#define CUTOUT_MEMBER_u8(name, limit) uint8_t name;
#define CUTOUT_MEMBER_u16(name, limit) uint16_t name;
#define CUTOUT_MEMBER_i16(name, limit) int16_t name;
#define CUTOUT_MEMBER_u32(name, limit) uint32_t name;
#define CUTOUT_MEMBER_u64(name, limit) uint64_t name;
#define CUTOUT_MEMBER_bytes(name, limit) struct { uint8_t length; uint8_t data[limit]; } name;
#define CUTOUT_MEMBER_str(name, limit) struct { uint8_t length; char data[(limit) + 1]; } name; /* ends with a NUL too */
#define CUTOUT_MEMBER_digest(name, limit) uint8_t name[limit];
#define CUTOUT_MEMBER_rest(name, limit) struct cutout_rest name;
#define CUTOUT_MEMBER_rect(name, limit) struct cutout_rect name;
#define CUTOUT_MEMBER_points(name, limit) struct cutout_points name;
#define CUTOUT_MEMBER_prompt(name, limit) struct cutout_prompt name;
#define CUTOUT_MEMBER(type, name, limit) CUTOUT_MEMBER_##type(name, limit)
#define CUTOUT_STRUCT(number, NAME, name) struct cutout_##name { CUTOUT_F_##NAME(CUTOUT_MEMBER) };
CUTOUT_MESSAGES(CUTOUT_STRUCT)

#define CUTOUT_KIND(number, NAME, name) CUTOUT_##NAME = number,
enum cutout_kind { CUTOUT_MESSAGES(CUTOUT_KIND) CUTOUT_BARE_MESSAGES(CUTOUT_KIND) CUTOUT_NO_KIND = 0 };

#define CUTOUT_UNION(number, NAME, name) struct cutout_##name name;
struct cutout_message { uint8_t kind; union { CUTOUT_MESSAGES(CUTOUT_UNION) } as; };

/* --- Checksums ------------------------------------------------------------------------------------------------------ */

static inline uint16_t cutout_crc16(const uint8_t *bytes, size_t count) {
    uint16_t crc = 0xffff;
    while (count-- > 0) {
        crc = (uint16_t)(crc ^ (*bytes++ << 8));
        for (int bit = 0; bit < 8; bit++) crc = (uint16_t)((crc & 0x8000u) ? (crc << 1) ^ 0x1021 : crc << 1);
    }
    return crc;
}

/* Of bytes that come in pieces: start with 0, hand on what it gives. */
static inline uint32_t cutout_crc32(uint32_t crc, const uint8_t *bytes, size_t count) {
    static const uint32_t table[16] = {
        0x00000000u, 0x1db71064u, 0x3b6e20c8u, 0x26d930acu, 0x76dc4190u, 0x6b6b51f4u, 0x4db26158u, 0x5005713cu,
        0xedb88320u, 0xf00f9344u, 0xd6d6a3e8u, 0xcb61b38cu, 0x9b64c2b0u, 0x86d3d2d4u, 0xa00ae278u, 0xbdbdf21cu};
    crc = ~crc;
    while (count-- > 0) {
        crc ^= *bytes++;
        crc = (crc >> 4) ^ table[crc & 15u];
        crc = (crc >> 4) ^ table[crc & 15u];
    }
    return ~crc;
}

/* --- Writing -------------------------------------------------------------------------------------------------------- */

/* Stuffs bytes into `out`, or only counts them if it is NULL. `full`: there was no room, or a value must not be. */
struct cutout_writer { uint8_t *out; size_t room, at, code; uint32_t crc; bool full; };

static inline void cutout_store(struct cutout_writer *w, size_t at, uint8_t byte) {
    if (at < w->room) w->out[at] = byte;
    else w->full = true;
}

static inline void cutout_put(struct cutout_writer *w, const uint8_t *bytes, size_t count) {
    if (w->out == NULL) {
        w->at += count;
        return;
    }
    w->crc = cutout_crc32(w->crc, bytes, count);
    while (count-- > 0 && !w->full) {
        uint8_t byte = *bytes++;
        if (w->at - w->code == 255) {           /* a full block ends without a zero */
            cutout_store(w, w->code, 255);
            w->code = w->at++;
        }
        if (byte == 0) {
            cutout_store(w, w->code, (uint8_t)(w->at - w->code));
            w->code = w->at++;
        } else {
            cutout_store(w, w->at++, byte);
        }
    }
}

static inline void cutout_put_number(struct cutout_writer *w, uint64_t value, size_t size) {
    uint8_t bytes[8];
    for (size_t i = 0; i < size; i++) bytes[i] = (uint8_t)(value >> (8 * i));
    cutout_put(w, bytes, size);
}

static inline void cutout_put_limited(struct cutout_writer *w, const void *bytes, size_t length, size_t limit) {
    if (length > limit) {
        w->full = true;
        return;
    }
    cutout_put_number(w, length, 1);
    cutout_put(w, (const uint8_t *)bytes, length);
}

static inline void cutout_put_rect(struct cutout_writer *w, const struct cutout_rect *rect) {
    cutout_put_number(w, rect->there ? 1 : 0, 1);
    if (!rect->there) return;
    cutout_put_number(w, rect->x0, 4);
    cutout_put_number(w, rect->y0, 4);
    cutout_put_number(w, rect->x1, 4);
    cutout_put_number(w, rect->y1, 4);
}

static inline void cutout_put_points(struct cutout_writer *w, const struct cutout_points *points) {
    if (points->count > 16) {
        w->full = true;
        return;
    }
    cutout_put_number(w, points->count, 1);
    for (size_t i = 0; i < points->count; i++) {
        cutout_put_number(w, points->at[i].x, 4);
        cutout_put_number(w, points->at[i].y, 4);
        cutout_put_number(w, points->at[i].label, 1);
    }
}

#define CUTOUT_PUT_u8(name, limit) cutout_put_number(w, m->name, 1);
#define CUTOUT_PUT_u16(name, limit) cutout_put_number(w, m->name, 2);
#define CUTOUT_PUT_i16(name, limit) cutout_put_number(w, (uint16_t)m->name, 2);
#define CUTOUT_PUT_u32(name, limit) cutout_put_number(w, m->name, 4);
#define CUTOUT_PUT_u64(name, limit) cutout_put_number(w, m->name, 8);
#define CUTOUT_PUT_bytes(name, limit) cutout_put_limited(w, m->name.data, m->name.length, limit);
#define CUTOUT_PUT_str(name, limit) cutout_put_limited(w, m->name.data, m->name.length, limit);
#define CUTOUT_PUT_digest(name, limit) cutout_put(w, m->name, limit);
#define CUTOUT_PUT_rest(name, limit) cutout_put(w, m->name.data, m->name.length);
#define CUTOUT_PUT_rect(name, limit) cutout_put_rect(w, &m->name);
#define CUTOUT_PUT_points(name, limit) cutout_put_points(w, &m->name);
#define CUTOUT_PUT_prompt(name, limit) cutout_put_prompt(w, &m->name);
#define CUTOUT_PUT(type, name, limit) CUTOUT_PUT_##type(name, limit)
#define CUTOUT_PUTTER(number, NAME, name) \
    static inline void cutout_put_##name(struct cutout_writer *w, const struct cutout_##name *m) { CUTOUT_F_##NAME(CUTOUT_PUT) }
CUTOUT_MESSAGES(CUTOUT_PUTTER)

/* False if the kind is not known. */
static inline bool cutout_put_message(struct cutout_writer *w, const struct cutout_message *message) {
#define CUTOUT_PUT_CASE(number, NAME, name) case number: cutout_put_##name(w, &message->as.name); return true;
#define CUTOUT_BARE_CASE(number, NAME, name) case number:
    switch (message->kind) {
        CUTOUT_MESSAGES(CUTOUT_PUT_CASE)
        CUTOUT_BARE_MESSAGES(CUTOUT_BARE_CASE) return true;
        default: return false;
    }
}

/* Writes the whole packet and gives its length; 0 if it does not fit, or the message cannot be. */
static inline size_t cutout_encode(uint8_t *out, size_t room, uint8_t flags, uint16_t seq, uint32_t request,
                                   const struct cutout_message *message) {
    struct cutout_writer count = {0}, w = {0};
    uint8_t head[CUTOUT_HEADER_SIZE] = {CUTOUT_VERSION, message->kind, flags, 0};
    if (!cutout_put_message(&count, message) || count.full || count.at > CUTOUT_MAX_PAYLOAD) return 0;
    for (size_t i = 0; i < 2; i++) head[4 + i] = (uint8_t)(seq >> (8 * i));
    for (size_t i = 0; i < 4; i++) head[6 + i] = (uint8_t)(request >> (8 * i));
    for (size_t i = 0; i < 2; i++) head[10 + i] = (uint8_t)(count.at >> (8 * i));
    uint16_t check = cutout_crc16(head, 12);
    for (size_t i = 0; i < 2; i++) head[12 + i] = (uint8_t)(check >> (8 * i));
    w.out = out, w.room = room, w.at = 1;
    cutout_put(&w, head, sizeof head);
    cutout_put_message(&w, message);
    cutout_put_number(&w, w.crc, 4);
    cutout_store(&w, w.code, (uint8_t)(w.at - w.code));
    cutout_store(&w, w.at++, 0);
    return w.full ? 0 : w.at;
}

/* --- Reading -------------------------------------------------------------------------------------------------------- */

struct cutout_reader { const uint8_t *at; size_t left; enum cutout_outcome outcome; };

/* The next `count` bytes; NULL, and the outcome says why, if there are fewer. */
static inline const uint8_t *cutout_take(struct cutout_reader *r, size_t count) {
    if (r->outcome == CUTOUT_OK && r->left < count) r->outcome = CUTOUT_SHORT;
    if (r->outcome != CUTOUT_OK) return NULL;
    const uint8_t *bytes = r->at;
    if (count > 0) r->at += count, r->left -= count;
    return bytes;
}

static inline uint64_t cutout_get_number(struct cutout_reader *r, size_t size) {
    const uint8_t *bytes = cutout_take(r, size);
    uint64_t value = 0;
    for (size_t i = 0; bytes != NULL && i < size; i++) value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

static inline uint8_t cutout_get_limited(struct cutout_reader *r, void *out, size_t limit) {
    size_t length = (size_t)cutout_get_number(r, 1);
    if (r->outcome == CUTOUT_OK && length > limit) r->outcome = CUTOUT_VALUE;
    const uint8_t *bytes = cutout_take(r, length);
    if (bytes == NULL) return 0;
    memcpy(out, bytes, length);
    return (uint8_t)length;
}

static inline bool cutout_is_utf8(const uint8_t *s, size_t left) {
    while (left > 0) {
        size_t more = *s < 0x80 ? 0 : (*s & 0xe0) == 0xc0 ? 1 : (*s & 0xf0) == 0xe0 ? 2 : (*s & 0xf8) == 0xf0 ? 3 : 4;
        uint32_t least[4] = {0, 0x80, 0x800, 0x10000}, value = more == 0 ? *s : *s & (0x3fu >> more);
        if (more > 3 || more >= left) return false;
        for (size_t i = 1; i <= more; i++) {
            if ((s[i] & 0xc0) != 0x80) return false;
            value = (value << 6) | (s[i] & 0x3fu);
        }
        if (value < least[more] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000)) return false;
        s += more + 1, left -= more + 1;
    }
    return true;
}

static inline void cutout_get_rect(struct cutout_reader *r, struct cutout_rect *rect) {
    uint64_t there = cutout_get_number(r, 1);
    if (r->outcome == CUTOUT_OK && there > 1) r->outcome = CUTOUT_VALUE;
    rect->there = there == 1;
    if (r->outcome != CUTOUT_OK || !rect->there) return;
    rect->x0 = (uint32_t)cutout_get_number(r, 4);
    rect->y0 = (uint32_t)cutout_get_number(r, 4);
    rect->x1 = (uint32_t)cutout_get_number(r, 4);
    rect->y1 = (uint32_t)cutout_get_number(r, 4);
}

static inline void cutout_get_points(struct cutout_reader *r, struct cutout_points *points) {
    size_t count = (size_t)cutout_get_number(r, 1);
    for (size_t i = 0; i < count && r->outcome == CUTOUT_OK; i++) {
        struct cutout_point point;
        point.x = (uint32_t)cutout_get_number(r, 4);
        point.y = (uint32_t)cutout_get_number(r, 4);
        point.label = (uint8_t)cutout_get_number(r, 1);
        if (r->outcome == CUTOUT_OK && i == 16) r->outcome = CUTOUT_VALUE;
        if (i < 16) points->at[i] = point;
    }
    points->count = r->outcome == CUTOUT_OK ? (uint8_t)count : 0;
}

#define CUTOUT_GET_u8(name, limit) m->name = (uint8_t)cutout_get_number(r, 1);
#define CUTOUT_GET_u16(name, limit) m->name = (uint16_t)cutout_get_number(r, 2);
#define CUTOUT_GET_i16(name, limit) m->name = (int16_t)(uint16_t)cutout_get_number(r, 2);
#define CUTOUT_GET_u32(name, limit) m->name = (uint32_t)cutout_get_number(r, 4);
#define CUTOUT_GET_u64(name, limit) m->name = cutout_get_number(r, 8);
#define CUTOUT_GET_bytes(name, limit) m->name.length = cutout_get_limited(r, m->name.data, limit);
#define CUTOUT_GET_str(name, limit) m->name.length = cutout_get_limited(r, m->name.data, limit); \
    m->name.data[m->name.length] = 0; \
    if (!cutout_is_utf8((const uint8_t *)m->name.data, m->name.length)) r->outcome = CUTOUT_VALUE;
#define CUTOUT_GET_digest(name, limit) { const uint8_t *d = cutout_take(r, limit); if (d != NULL) memcpy(m->name, d, limit); }
#define CUTOUT_GET_rest(name, limit) m->name.length = r->left; m->name.data = cutout_take(r, r->left);
#define CUTOUT_GET_rect(name, limit) cutout_get_rect(r, &m->name);
#define CUTOUT_GET_points(name, limit) cutout_get_points(r, &m->name);
#define CUTOUT_GET_prompt(name, limit) cutout_get_prompt(r, &m->name);
#define CUTOUT_GET(type, name, limit) CUTOUT_GET_##type(name, limit)
#define CUTOUT_GETTER(number, NAME, name) \
    static inline void cutout_get_##name(struct cutout_reader *r, struct cutout_##name *m) { CUTOUT_F_##NAME(CUTOUT_GET) }
CUTOUT_MESSAGES(CUTOUT_GETTER)

/* A packet; after CUTOUT_BAD_VERSION, _LENGTH and _CRC, kind and request say whose it was. */
struct cutout_packet { uint8_t version, kind, flags; uint16_t seq; uint32_t request; struct cutout_rest payload; };

static inline enum cutout_outcome cutout_open(const uint8_t *bytes, size_t count, struct cutout_packet *packet) {
    if (count < CUTOUT_HEADER_SIZE) return CUTOUT_BAD_HEADER;
    struct cutout_reader r = {bytes + 4, 10, CUTOUT_OK};
    packet->version = bytes[0], packet->kind = bytes[1], packet->flags = bytes[2];
    packet->seq = (uint16_t)cutout_get_number(&r, 2);
    packet->request = (uint32_t)cutout_get_number(&r, 4);
    size_t length = (size_t)cutout_get_number(&r, 2);
    if (cutout_get_number(&r, 2) != cutout_crc16(bytes, 12) || packet->kind == 0 || bytes[3] != 0) return CUTOUT_BAD_HEADER;
    if (packet->version != CUTOUT_VERSION) return CUTOUT_BAD_VERSION;
    if (length > CUTOUT_MAX_PAYLOAD || count != CUTOUT_HEADER_SIZE + length + 4) return CUTOUT_BAD_LENGTH;
    struct cutout_reader end = {bytes + count - 4, 4, CUTOUT_OK};
    if (cutout_get_number(&end, 4) != cutout_crc32(0, bytes, count - 4)) return CUTOUT_BAD_CRC;
    packet->payload.data = bytes + CUTOUT_HEADER_SIZE, packet->payload.length = length;
    return CUTOUT_OK;
}

static inline enum cutout_outcome cutout_decode(const struct cutout_packet *packet, struct cutout_message *message) {
    struct cutout_reader r = {packet->payload.data, packet->payload.length, CUTOUT_OK};
    message->kind = packet->kind;
#define CUTOUT_GET_CASE(number, NAME, name) case number: cutout_get_##name(&r, &message->as.name); break;
    switch (packet->kind) {
        CUTOUT_MESSAGES(CUTOUT_GET_CASE)
        CUTOUT_BARE_MESSAGES(CUTOUT_BARE_CASE) break;
        default: return CUTOUT_UNKNOWN_KIND;
    }
    if (r.outcome == CUTOUT_OK && r.left > 0) return CUTOUT_TRAILING;
    return r.outcome;
}

#include "cutout_stream.h"
#include "cutout_body.h"

#endif
